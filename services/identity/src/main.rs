//! The process: telemetry, configuration (exit 64 when it is wrong), then run until a signal and drain.

use std::{error::Error, process::ExitCode};

use chassis::{
    config::{EXIT_CODE_BAD_CONFIG, Env},
    shutdown, telemetry,
};
use clap::{Parser, Subcommand};
use identity::config::Config;
use tokio::net::TcpListener;

/// Accounts, tokens, and the persons behind the accounts.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until it is told to stop (the default).
    Serve,
    /// Applies the migrations that are missing.
    Migrate,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mut env = Env::from_process();
    let telemetry = telemetry::init("identity", &mut env);
    let config = Config::read(&mut env);
    let ended = match env.finish(config) {
        Ok(config) => run(args.command, config).await,
        Err(mistakes) => {
            for mistake in mistakes.lines() {
                tracing::error!(mistake, "the configuration is wrong");
            }
            telemetry.shutdown();
            return ExitCode::from(EXIT_CODE_BAD_CONFIG);
        }
    };
    if let Err(error) = &ended {
        tracing::error!(error = error.as_ref(), "the process failed");
    }
    telemetry.shutdown();
    if ended.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn run(command: Option<Command>, config: Config) -> Result<(), Box<dyn Error>> {
    match command {
        Some(Command::Migrate) => Ok(identity::migrate(&config).await?),
        Some(Command::Serve) | None => {
            let shutdown = shutdown::signal()?;
            let listener = TcpListener::bind(config.process.listen_address).await?;
            Ok(identity::run(config, listener, shutdown).await?)
        }
    }
}
