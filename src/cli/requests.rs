//! `signpost requests …`
use anyhow::Result;
use clap::Subcommand;

use crate::{request_log::partitions, server::Installation};

#[derive(Subcommand)]
pub enum RequestsCommand {
    /// Delete all requests that are over now; the hourly job deletes two days in one run at most
    Prune,
}

pub async fn run(command: RequestsCommand, installation: &Installation) -> Result<()> {
    match command {
        RequestsCommand::Prune => {
            let done = partitions::run_without_limit(installation.postgres.background()).await?;
            println!(
                "Deleted {} days, {} rows of other days and {} counts.",
                done.dropped, done.purged_rows, done.purged_counts
            );
            if done.left > 0 {
                println!("{} days are in use: the hourly job deletes them.", done.left);
            }
            Ok(())
        }
    }
}
