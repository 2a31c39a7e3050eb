//! `signpost demo`
use anyhow::Result;

use crate::{
    config::Settings,
    demo,
    server::{self, Installation},
};

pub async fn run(settings: &Settings, installation: &Installation) -> Result<()> {
    let token = demo::fill(
        installation.postgres.background(),
        &installation.keyring,
        &server::own(settings),
        &settings.edge_addresses,
    )
    .await?;
    println!("{}", token.expose());
    Ok(())
}
