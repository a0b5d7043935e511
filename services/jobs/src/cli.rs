//! The subcommands of the process.

use std::error::Error;

use chassis::shutdown;
use clap::{Parser, Subcommand};
use messaging::{Broker, dead_letters};
use tokio::net::TcpListener;

use crate::config::Config;

/// Vacancies: portals' feeds, search, and recommendations with their reasons.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until it is told to stop (the default).
    Serve,
    /// Applies the migrations that are missing.
    Migrate,
    /// Puts the dead letters of a queue back into it.
    ReplayDeadLetters {
        /// The queue, such as `jobs.enrollment-events`.
        #[arg(long)]
        queue: String,
        /// How many at most.
        #[arg(long, default_value_t = u32::MAX)]
        limit: u32,
    },
}

impl Arguments {
    /// Does what was asked for.
    ///
    /// # Errors
    /// When it fails.
    pub async fn execute(self, config: Config) -> Result<(), Box<dyn Error + Send + Sync>> {
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => {
                let listener = TcpListener::bind(config.process.listen_address).await?;
                Ok(crate::run(config, listener, shutdown::signal()?).await?)
            }
            Command::Migrate => Ok(crate::migrate(&config).await?),
            Command::ReplayDeadLetters { queue, limit } => {
                let broker = Broker::new(&config.process.broker_url, config.process.service);
                let count = dead_letters::replay(&broker, &queue, limit).await?;
                tracing::info!(count, queue, "dead letters were put back");
                Ok(())
            }
        }
    }
}
