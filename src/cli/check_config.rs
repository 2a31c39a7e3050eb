//! `signpost check-config`
use anyhow::{Context, Result};

use crate::{config::Sources, mail::Mailer, sealed::Keyring};

pub fn run() -> Result<()> {
    let sources = Sources::read()?;
    let settings = sources.settings()?;
    if let (Some(url), Some(from)) = (&settings.smtp_url, &settings.mail_from) {
        Mailer::new(url.expose(), from).context("SIGNPOST_SMTP_URL or SIGNPOST_MAIL_FROM")?;
    }
    let mut keys = Vec::new();
    if settings.secret_key_file.exists() {
        let keyring = Keyring::load(&settings.secret_key_file)?;
        keys.extend(keyring.ids().map(|id| id.to_string()));
    }
    let key_file = settings.secret_key_file.display().to_string();
    for setting in sources.in_force() {
        let value = setting.value.as_deref().unwrap_or(match setting.name {
            "DATABASE_URL" => "our own PostgreSQL, in the state directory",
            "SIGNPOST_SECRET_KEY_FILE" => &key_file,
            _ => "–",
        });
        println!("{:<28} {value}  ({})", setting.name, setting.origin);
    }
    if !keys.is_empty() {
        println!("{:<28} the first seals, each opens: {}", "secret keys", keys.join(", "));
    }
    Ok(())
}
