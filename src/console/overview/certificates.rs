//! Certificates that are due, or can't be had.
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::console::page::age;
use crate::{
    accounts::Scope,
    clock::DatabaseTime,
    console::page,
    domains::standing::store::{self, Renewal},
};

const SHOWN: i64 = 5;
/// A renewal that is later than it should be.
const LATE: TimeDelta = TimeDelta::days(1);

pub struct Certificates {
    /// "in 9 days"; empty: there is none.
    pub next: String,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub hostname: String,
    pub class: &'static str,
    pub status: &'static str,
    pub text: String,
}

impl Certificates {
    pub async fn find(
        db: &mut PgConnection,
        scope: &Scope,
        issuer: &str,
        now: DatabaseTime,
    ) -> Result<Self, sqlx::Error> {
        let failing = store::list_failing(db, scope, issuer, SHOWN).await?;
        let renewals = store::list_renewals(db, scope, issuer, SHOWN).await?;
        let mut lines: Vec<_> = failing
            .into_iter()
            .map(|failing| Line {
                hostname: failing.hostname,
                class: "bad",
                status: "Not obtained",
                text: format!(
                    "{} {} We try again on {}.",
                    failing.message.unwrap_or_default(),
                    failing.remedy.unwrap_or_default(),
                    page::moment(&failing.due_at)
                ),
            })
            .collect();
        let next = renewals
            .first()
            .map(|next| when(next.renews_at, now.get()))
            .unwrap_or_default();
        let others = renewals
            .into_iter()
            .map(|renewal| line(renewal, now.get()))
            .filter(|line| lines.iter().all(|other| other.hostname != line.hostname));
        let others: Vec<_> = others.collect();
        lines.extend(others);
        lines.truncate(usize::try_from(SHOWN).unwrap_or(usize::MAX));
        Ok(Self { next, lines })
    }
}

fn when(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match at <= now {
        true => "now".to_owned(),
        false => format!("in {}", age(at - now)),
    }
}

fn line(renewal: Renewal, now: DateTime<Utc>) -> Line {
    let (class, status) = match renewal {
        Renewal { not_after, .. } if not_after <= now => ("bad", "Expired"),
        Renewal { renews_at, .. } if renews_at + LATE <= now => ("wait", "Renewal late"),
        _ => ("good", "Valid"),
    };
    Line {
        hostname: renewal.hostname,
        class,
        status,
        text: format!(
            "Until {}; renewed {}.",
            page::moment(&renewal.not_after),
            when(renewal.renews_at, now)
        ),
    }
}
