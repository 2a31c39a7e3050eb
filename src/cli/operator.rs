//! `signpost operator …`
use anyhow::{Result, anyhow};
use clap::Subcommand;

use crate::{
    accounts::{
        Operator,
        email::Email,
        operators::{self, Change},
    },
    server::Installation,
};

#[derive(Subcommand)]
pub enum OperatorCommand {
    /// Let somebody who has an account see all organisations at /operator, and suspend them
    Add {
        /// The address that they sign in with
        email: String,
    },
    /// Take that from them
    Remove {
        /// The address that they sign in with
        email: String,
    },
    /// List them
    List,
}

pub async fn run(command: OperatorCommand, installation: &Installation) -> Result<()> {
    let (operator, keyring) = (Operator::at_the_command_line(), &installation.keyring);
    let (email, is_added) = match command {
        OperatorCommand::Add { email } => (email, true),
        OperatorCommand::Remove { email } => (email, false),
        OperatorCommand::List => {
            let mut db = installation.postgres.background().acquire().await?;
            for listed in operators::list(&mut db, operator, keyring).await? {
                let since = listed.since.format("%Y-%m-%d");
                println!("{since}  {}", listed.person.email.expose());
            }
            return Ok(());
        }
    };
    let email = Email::parse(&email).map_err(|complaint| anyhow!("`{email}` {complaint}"))?;
    let (mut tx, now) = crate::clock::begin(installation.postgres.background()).await?;
    let since = is_added.then_some(now);
    let change = operators::set(&mut tx, operator, keyring, &email, since).await?;
    tx.commit().await?;
    let email = email.expose();
    println!(
        "{}",
        match (since.is_some(), change) {
            (true, Change::Changed) => format!("{email} is an operator: see /operator in the console."),
            (true, Change::None) => format!("{email} is an operator already."),
            (false, Change::Changed) => format!("{email} is an operator no more."),
            (false, Change::None) => format!("{email} is no operator."),
        }
    );
    Ok(())
}
