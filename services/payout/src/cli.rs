//! The subcommands of the process.

use chassis::shutdown;
use clap::{Parser, Subcommand};
use messaging::{Broker, dead_letters};
use tokio::net::TcpListener;

use crate::{Failure, config::Config};

/// Public money: the ledger, training balances, incentives and their payment.
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
    /// Compares the ledger with its transfers; fails when anything differs.
    Audit,
    /// Puts the dead letters of a queue back into it.
    ReplayDeadLetters {
        /// The queue, such as `payout.enrollment-events`.
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
    pub async fn execute(self, config: Config) -> Result<(), Failure> {
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => {
                let listener = TcpListener::bind(config.process.listen_address).await?;
                let callbacks = TcpListener::bind(config.callback_address).await?;
                crate::run(config, listener, callbacks, shutdown::signal()?).await
            }
            Command::Migrate => crate::migrate(&config).await,
            Command::Audit => crate::audit(&config).await,
            Command::ReplayDeadLetters { queue, limit } => {
                let broker = Broker::new(&config.process.broker_url, config.process.service);
                let count = dead_letters::replay(&broker, &queue, limit).await?;
                tracing::info!(count, queue, "dead letters were put back");
                Ok(())
            }
        }
    }
}
