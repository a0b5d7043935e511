//! The process: telemetry, settings, then one of the subcommands.

use std::{error::Error, process::ExitCode};

use chassis::{config::EXIT_CODE_BAD_CONFIG, config::Env, db, shutdown, telemetry};
use clap::{Parser, Subcommand};
use enrollment::{config::Config, storage::MIGRATOR};
use messaging::{Broker, dead_letters};
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(about = "Bekal's enrollment service.")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serves; the default.
    Serve,
    /// Applies the migrations that are missing, and ends.
    Migrate,
    /// Puts dead letters back into their queue.
    ReplayDeadLetters {
        /// The queue, such as `enrollment.payout-events`.
        #[arg(long)]
        queue: String,
        /// How many at most.
        #[arg(long, default_value_t = u32::MAX)]
        limit: u32,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut env = Env::from_process();
    let telemetry = telemetry::init("enrollment", &mut env);
    let code = match Config::read(env) {
        Err(mistakes) => {
            tracing::error!("the settings are wrong:\n{mistakes}");
            ExitCode::from(EXIT_CODE_BAD_CONFIG)
        }
        Ok(config) => match run(arguments.command.unwrap_or(Command::Serve), config).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(error, "the process ends");
                ExitCode::FAILURE
            }
        },
    };
    telemetry.shutdown();
    code
}

async fn run(command: Command, config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    match command {
        Command::Serve => {
            let listener = TcpListener::bind(config.process.listen_address).await?;
            enrollment::run(config, listener, shutdown::signal()?).await
        }
        Command::Migrate => Ok(db::migrate(&db::connect(&config.process)?, &MIGRATOR).await?),
        Command::ReplayDeadLetters { queue, limit } => {
            let broker = Broker::new(&config.process.broker_url, "enrollment");
            let count = dead_letters::replay(&broker, &queue, limit).await?;
            tracing::info!(count, queue, "dead letters were put back");
            Ok(())
        }
    }
}
