//! The process: telemetry, configuration (exit code 64 when it is wrong), then a subcommand until it ends.

use std::process::ExitCode;

use chassis::{
    config::{EXIT_CODE_BAD_CONFIG, Env},
    telemetry,
};
use clap::Parser;
use jobs::{cli::Arguments, config::Config};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut env = Env::from_process();
    let telemetry = telemetry::init("jobs", &mut env);
    let config = Config::read(&mut env);
    let code = match env.finish(config) {
        Ok(config) => match arguments.execute(config).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(
                    error = telemetry::chain(error.as_ref()),
                    "the process failed"
                );
                ExitCode::FAILURE
            }
        },
        Err(mistakes) => {
            tracing::error!("the settings are wrong:\n{mistakes}");
            ExitCode::from(EXIT_CODE_BAD_CONFIG)
        }
    };
    telemetry.shutdown();
    code
}
