//! `signpost org …`
use anyhow::{Result, anyhow};
use clap::Subcommand;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    accounts::{
        Operator,
        organisations::{self, settings, store},
    },
    domains, request_log,
    server::Installation,
};

#[derive(Subcommand)]
pub enum Org {
    /// Make an organisation, its owner and a first token; prints one JSON object
    Create {
        /// Of the organisation
        #[arg(long)]
        name: String,
        /// Of its owner
        #[arg(long)]
        email: String,
    },
    /// List all organisations
    List,
    /// Stop service for all domains of an organisation
    Suspend {
        /// Its id or its name
        organisation: String,
    },
    /// Delete an organisation with its domains, its MDM servers and all that devices asked of it, for good
    Delete {
        /// Its id or its name
        organisation: String,
        /// Its name once more: nobody does it by a slip
        #[arg(long)]
        confirm: String,
    },
    /// Vouch for an organisation that registered itself: how many unverified domains it may have is no longer limited
    Trust {
        /// Its id or its name
        organisation: String,
    },
    /// Resume service
    Resume {
        /// Its id or its name
        organisation: String,
    },
}

pub async fn run(command: Org, installation: &Installation) -> Result<()> {
    let operator = Operator::at_the_command_line();
    let (mut tx, now) = crate::clock::begin(installation.postgres.background()).await?;
    match command {
        Org::Create { name, email } => {
            let created = organisations::create(&mut tx, operator, &installation.keyring, &name, &email).await?;
            tx.commit().await?;
            let (organisation_id, user_id) = (created.organisation_id, created.user_id);
            println!(
                "{}",
                serde_json::json!({ "organisation_id": organisation_id, "user_id": user_id, "token": created.token.expose() })
            );
        }
        Org::List => {
            for organisation in store::list(&mut tx, operator).await? {
                let state = if organisation.suspended_at.is_some() {
                    "suspended"
                } else {
                    "active"
                };
                println!("{}  {state:<9}  {}", organisation.id, organisation.name);
            }
        }
        Org::Suspend { organisation } => {
            let id = find(&mut tx, operator, &organisation).await?;
            let organisation = organisations::set_suspended(&mut tx, operator, id, Some(now)).await?;
            tx.commit().await?;
            println!("{} is suspended: none of its domains is served.", organisation.name);
        }
        Org::Delete { organisation, confirm } => {
            let id = find(&mut tx, operator, &organisation).await?;
            let name = settings::find(&mut tx, &operator.scope(id)).await?.name.into_string();
            if confirm.trim() != name {
                return Err(anyhow!("--confirm is not the organisation's name, `{name}`"));
            }
            organisations::set_suspended(&mut tx, operator, id, Some(now)).await?;
            tx.commit().await?;
            delete(installation.postgres.background(), operator, id, &name).await?;
            println!("{name} is deleted, with all that devices asked of it.");
        }
        Org::Trust { organisation } => {
            let id = find(&mut tx, operator, &organisation).await?;
            let name = organisations::trust(&mut tx, operator, id).await?;
            tx.commit().await?;
            println!("{name} is trusted: its unverified domains are not limited.");
        }
        Org::Resume { organisation } => {
            let id = find(&mut tx, operator, &organisation).await?;
            let organisation = organisations::set_suspended(&mut tx, operator, id, None).await?;
            tx.commit().await?;
            println!("{} is served again.", organisation.name);
        }
    }
    Ok(())
}

/// In small steps: what is done stays done, and whoever is interrupted calls it again.
async fn delete(pool: &PgPool, operator: Operator, id: Uuid, name: &str) -> Result<()> {
    const STEP: i64 = 500;
    loop {
        let mut tx = pool.begin().await?;
        let deleted = domains::delete_some(&mut tx, &operator.scope(id), STEP).await?;
        tx.commit().await?;
        if deleted == 0 {
            break;
        }
    }
    let mut tx = pool.begin().await?;
    settings::delete_for(&mut tx, operator, id, name).await?;
    tx.commit().await?;
    request_log::erasure::gone::run(pool).await?;
    Ok(())
}

async fn find(db: &mut sqlx::PgConnection, operator: Operator, key: &str) -> Result<Uuid> {
    match key.parse() {
        Ok(id) => Ok(id),
        Err(_) => store::find_by_name(db, operator, key)
            .await?
            .ok_or_else(|| anyhow!("there is no organisation `{key}`")),
    }
}
