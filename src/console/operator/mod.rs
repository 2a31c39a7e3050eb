//! For whoever runs this Signpost: all organisations, what waits, what may still be ordered. For everybody else there
//! are no such pages.
mod organisation;
mod overview;
mod unknown_domains;

use actix_web::web;
use chrono::{DateTime, TimeDelta, Utc};

use super::{fault::Fault, form, page};
use crate::accounts::{Member, Operator};

pub fn pages(config: &mut web::ServiceConfig) {
    config
        .service(page("/operator", web::get().to(overview::show)))
        .service(page("/operator/unknown-domains", web::get().to(unknown_domains::show)))
        .service(form(
            "/operator/organisations/{id}",
            web::get().to(organisation::show),
            web::post().to(organisation::submit),
        ));
}

/// Who is none is not told that there is something.
fn operator(member: &Member) -> Result<Operator, Fault> {
    member.operator().ok_or(Fault::NoSuchPage)
}

/// "12 minutes", "3 hours", "5 days".
fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let passed = (now - since).max(TimeDelta::zero());
    let (number, unit) = match (passed.num_days(), passed.num_hours(), passed.num_minutes()) {
        (0, 0, minutes) => (minutes, "minute"),
        (0, hours, _) => (hours, "hour"),
        (days, ..) => (days, "day"),
    };
    match number {
        0 => "less than a minute".to_owned(),
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        for (seconds, told) in [
            (-5, "less than a minute"),
            (59, "less than a minute"),
            (60, "1 minute"),
            (7_199, "1 hour"),
            (7_200, "2 hours"),
            (86_400, "1 day"),
            (864_000, "10 days"),
        ] {
            assert_eq!(age(now - TimeDelta::seconds(seconds), now), told);
        }
    }
}
