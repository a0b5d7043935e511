//! The process: telemetry, configuration (exit code 64 if bad), then serve until a signal.

use std::{error::Error, process::ExitCode};

use catalog::config::{Config, SERVICE};
use chassis::{
    config::{EXIT_CODE_BAD_CONFIG, Env},
    shutdown, telemetry,
};
use clap::{Parser, Subcommand};
use messaging::Broker;
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves (the default).
    Serve,
    /// Applies the migrations that are missing.
    Migrate,
    /// Puts the dead letters of a queue back into it.
    ReplayDeadLetters {
        /// The queue, such as `catalog.enrollment-events`.
        #[arg(long)]
        queue: String,
        /// How many at most.
        #[arg(long, default_value_t = u32::MAX)]
        limit: u32,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Arguments::parse().command.unwrap_or(Command::Serve);
    let mut env = Env::from_process();
    let telemetry = telemetry::init(SERVICE, &mut env);
    let config = Config::read(&mut env);
    let code = match env.finish(config) {
        Ok(config) => match execute(command, config).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error = error.as_ref(), "the process failed");
                ExitCode::FAILURE
            }
        },
        Err(mistakes) => {
            for mistake in mistakes.lines() {
                tracing::error!(mistake, "bad configuration");
            }
            ExitCode::from(EXIT_CODE_BAD_CONFIG)
        }
    };
    telemetry.shutdown();
    code
}

async fn execute(command: Command, config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    match command {
        Command::Serve => {
            let listener = TcpListener::bind(config.process.listen_address).await?;
            catalog::run(config, listener, shutdown::signal()?).await?;
        }
        Command::Migrate => catalog::migrate(&config).await?,
        Command::ReplayDeadLetters { queue, limit } => {
            let broker = Broker::new(&config.process.broker_url, SERVICE);
            let count = messaging::dead_letters::replay(&broker, &queue, limit).await?;
            tracing::info!(queue, count, "dead letters replayed");
        }
    }
    Ok(())
}
