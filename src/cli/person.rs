//! `signpost person …`
use anyhow::{Result, bail};
use clap::Subcommand;

use crate::{
    accounts::{Operator, email::Email, second_factors},
    server::Installation,
};

#[derive(Subcommand)]
pub enum Person {
    /// Turn off the second factor of somebody who has lost phone and recovery codes, and sign them out everywhere
    ResetSecondFactor {
        /// The address that they sign in with
        email: String,
    },
}

pub async fn run(command: Person, installation: &Installation) -> Result<()> {
    let Person::ResetSecondFactor { email } = command;
    let Ok(email) = Email::parse(&email) else {
        bail!("`{email}` is no e-mail address");
    };
    let mut tx = installation.postgres.background().begin().await?;
    let operator = Operator::at_the_command_line();
    if !second_factors::reset(&mut tx, operator, &installation.keyring, &email).await? {
        bail!("nobody with a second factor has this address");
    }
    tx.commit().await?;
    println!("The second factor is off: the password alone lets this person in. Tell them to set up another one.");
    Ok(())
}
