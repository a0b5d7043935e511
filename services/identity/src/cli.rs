//! The subcommands of the process.

use std::error::Error;

use chassis::shutdown;
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;

use crate::config::Config;

/// Accounts, tokens, and the persons behind the accounts.
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
        }
    }
}
