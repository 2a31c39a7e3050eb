//! The plots of an organisation, a client or a domain, from the counts that are kept.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Plot, Window, draw};
use crate::{
    accounts::Scope,
    clock::DatabaseTime,
    request_log::{Filter, totals::store},
};

/// The last 24 hours and the last 30 days.
pub struct Plots {
    pub day: Plot,
    pub month: Plot,
}

/// Of everything that `scope` may see.
pub async fn of_all(db: &mut PgConnection, scope: &Scope, now: DatabaseTime) -> Result<Plots, sqlx::Error> {
    pair(db, scope, &Filter::default(), now).await
}

pub async fn of_client(
    db: &mut PgConnection,
    scope: &Scope,
    client_id: Uuid,
    now: DatabaseTime,
) -> Result<Plots, sqlx::Error> {
    let filter = Filter {
        client_id: Some(client_id),
        ..Filter::default()
    };
    pair(db, scope, &filter, now).await
}

pub async fn of_domain(
    db: &mut PgConnection,
    scope: &Scope,
    hostname: &str,
    now: DatabaseTime,
) -> Result<Plots, sqlx::Error> {
    let filter = Filter {
        hostname: Some(hostname.to_owned()),
        ..Filter::default()
    };
    pair(db, scope, &filter, now).await
}

async fn pair(db: &mut PgConnection, scope: &Scope, filter: &Filter, now: DatabaseTime) -> Result<Plots, sqlx::Error> {
    Ok(Plots {
        day: load(db, scope, filter, Window::last_24_hours(now.get())).await?,
        month: load(db, scope, filter, Window::last_30_days(now.get())).await?,
    })
}

/// Whatever the filter says of times, `window` holds.
pub async fn load(db: &mut PgConnection, scope: &Scope, filter: &Filter, window: Window) -> Result<Plot, sqlx::Error> {
    let counts = store::list(db, scope, filter, (window.since, window.until), window.step).await?;
    Ok(draw(window, &counts))
}
