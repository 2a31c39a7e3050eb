//! `signpost check-config`
use anyhow::Result;

use crate::config::Sources;

pub fn run() -> Result<()> {
    let sources = Sources::read()?;
    let settings = sources.settings()?;
    if settings.secret_key_file.exists() {
        crate::sealed::Keyring::load(&settings.secret_key_file)?;
    }
    for setting in sources.in_force() {
        println!(
            "{:<28} {}  ({})",
            setting.name,
            setting.value.as_deref().unwrap_or("–"),
            setting.origin
        );
    }
    Ok(())
}
