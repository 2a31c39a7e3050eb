//! `signpost domain …`
use std::io::BufRead;

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::{
    accounts::Operator,
    clock,
    domains::{self, store},
    hostname::Hostname,
    server::Installation,
};

#[derive(Subcommand)]
pub enum DomainCommand {
    /// List all domains
    List,
    /// Take your word, instead of the TXT record, that a domain belongs to who registered it
    Verify {
        /// Hostnames; `-` reads them from standard input, one a line
        #[arg(required = true)]
        hostnames: Vec<String>,
        /// Whose the domain is, where several organisations claim it
        #[arg(long)]
        organisation: Option<uuid::Uuid>,
    },
}

pub async fn run(command: DomainCommand, installation: &Installation) -> Result<()> {
    let operator = Operator::at_the_command_line();
    let (mut tx, now) = clock::begin(installation.postgres.background()).await?;
    match command {
        DomainCommand::List => {
            for domain in store::list_all(&mut tx, operator).await? {
                let state = match (domain.suspended_at, domain.ownership_verified_at) {
                    (Some(_), _) => "suspended",
                    (None, Some(_)) => "verified",
                    (None, None) => "unverified",
                };
                println!("{state:<10}  {}  ({})", domain.hostname, domain.organisation);
            }
        }
        DomainCommand::Verify {
            hostnames,
            organisation,
        } => {
            let hostnames = given(hostnames)?;
            for text in &hostnames {
                let hostname = Hostname::parse(text).with_context(|| format!("`{text}`"))?;
                domains::verify(&mut tx, operator, &hostname, organisation, now)
                    .await
                    .with_context(|| format!("`{text}`"))?;
            }
            tx.commit().await?;
            match hostnames.as_slice() {
                [one] => println!("{one} is verified."),
                many => println!("{} domains are verified.", many.len()),
            }
        }
    }
    Ok(())
}

fn given(arguments: Vec<String>) -> Result<Vec<String>> {
    if arguments != ["-"] {
        return Ok(arguments);
    }
    let lines = std::io::stdin()
        .lock()
        .lines()
        .collect::<Result<Vec<_>, _>>()
        .context("standard input")?;
    Ok(lines
        .into_iter()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect())
}
