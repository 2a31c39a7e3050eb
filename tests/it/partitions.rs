//! Days of requests: made ahead, purged, and dropped when nobody keeps them; and nobody waits for it.
use std::{net::Ipv4Addr, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use signpost::request_log::{
    batch::Batch,
    partitions::{self, store},
    record::{Network, Owner, Row},
};
use sqlx::PgPool;
use uuid::Uuid;

/// A request, as a spool brings it.
pub fn asked(at: DateTime<Utc>, owner: Option<Owner>, hostname: &str) -> Row<'static> {
    Row {
        at: at.timestamp_micros(),
        owner,
        hostname: hostname.to_owned().into(),
        model_family: "Mac".into(),
        user: None,
        outcome: "served".into(),
        status: 200,
        server_id: None,
        user_agent: None,
        client_network: Network::V4(Ipv4Addr::new(192, 0, 2, 0)),
        tls: None,
    }
}

pub async fn ship(pool: &PgPool, rows: impl IntoIterator<Item = Row<'static>>) {
    let mut batch = Batch::default();
    rows.into_iter().for_each(|row| batch.add_past(row));
    let mut tx = pool.begin().await.unwrap();
    batch.write(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn days(pool: &PgPool) -> Vec<String> {
    store::list(&mut pool.acquire().await.unwrap()).await.unwrap()
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// Organisations that keep their requests for so many days.
async fn organisations(pool: &PgPool, kept: &[i32]) -> Vec<Owner> {
    let mut owners = Vec::new();
    for days in kept {
        let [organisation_id, client_id, domain_id] = [(); 3].map(|()| Uuid::now_v7());
        sqlx::query(
            "with o as (insert into organisations (organisation_id, name, user_digest_key, ownership_key, request_days)
                        values ($1, 'Acme IT', '', '', $3) returning organisation_id)
             insert into clients (client_id, organisation_id, name) select $2, organisation_id, 'Contoso' from o",
        )
        .bind(organisation_id)
        .bind(client_id)
        .bind(days)
        .execute(pool)
        .await
        .unwrap();
        owners.push(Owner {
            organisation_id,
            client_id,
            domain_id,
        });
    }
    owners
}

#[sqlx::test]
async fn a_day_goes_when_the_last_who_keeps_it_lets_go_and_its_counts_stay(pool: PgPool) {
    let now = crate::clock::now();
    let owners = organisations(&pool, &[2, 9]).await;
    let mut all: Vec<_> = owners.iter().copied().map(Some).collect();
    all.push(None);
    for days in [0, 1, 3, 8, 11, 40] {
        let rows = all
            .iter()
            .map(|owner| asked(now - TimeDelta::days(days), *owner, "contoso.com"));
        ship(&pool, rows).await;
    }
    assert_eq!(
        days(&pool).await.len(),
        6,
        "also of a day that is over: shipping never fails"
    );
    let done = partitions::keep_up(&pool, crate::clock::assume(now)).await.unwrap();
    assert_eq!((done.dropped, done.left), (2, 0));
    assert_eq!(done.purged_rows, 3, "two of who keeps 2 days, one stranger's: {done:?}");
    for (owner, rows) in [(owners[0], 2), (owners[1], 4)] {
        let kept = sqlx::query_scalar::<_, i64>("select count(*) from requests where organisation_id = $1");
        let kept = kept.bind(owner.organisation_id).fetch_one(&pool).await.unwrap();
        assert_eq!(kept, rows);
    }
    assert_eq!(
        count(&pool, "select count(*) from requests where organisation_id is null").await,
        3
    );
    assert_eq!(count(&pool, "select sum(count)::bigint from request_counts").await, 18);
    let again = partitions::keep_up(&pool, crate::clock::assume(now)).await.unwrap();
    assert_eq!(again, partitions::Upkeep::default(), "nothing is left to do");
    // A spool comes back after a week: its day is there again, and goes again.
    ship(
        &pool,
        [asked(now - TimeDelta::days(40), Some(owners[1]), "contoso.com")],
    )
    .await;
    assert_eq!(
        partitions::keep_up(&pool, crate::clock::assume(now))
            .await
            .unwrap()
            .dropped,
        1
    );
    assert_eq!(days(&pool).await.len(), 4);
    let in_a_year = now + TimeDelta::days(361);
    partitions::keep_up(&pool, crate::clock::assume(in_a_year))
        .await
        .unwrap();
    assert_eq!(
        (
            count(&pool, "select sum(count)::bigint from request_counts").await,
            count(&pool, "select sum(count)::bigint from request_totals where client_id <> '00000000-0000-0000-0000-000000000000'").await
        ),
        (15, 10),
        "counts are kept for 400 days"
    );
}

#[sqlx::test]
async fn whoever_reads_is_waited_for_by_nobody_but_a_drop_that_comes_again(pool: PgPool) {
    let now = crate::clock::now();
    let owner = organisations(&pool, &[30]).await[0];
    let (recent, old) = (now - TimeDelta::days(1), now - TimeDelta::days(50));
    ship(
        &pool,
        [
            asked(recent, Some(owner), "contoso.com"),
            asked(old, Some(owner), "contoso.com"),
        ],
    )
    .await;
    // A dump, for example.
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("select count(*) from requests")
        .execute(&mut *reader)
        .await
        .unwrap();
    let soon = Duration::from_secs(5);
    let made = partitions::make_ahead(&pool, crate::clock::assume(now));
    tokio::time::timeout(soon, made).await.expect("days are made").unwrap();
    assert_eq!(days(&pool).await.len(), 6);
    let shipping = async {
        // Each takes a tenth of a second at most longer than it would.
        for minutes in 0..20 {
            let late = asked(recent - TimeDelta::minutes(minutes), Some(owner), "contoso.com");
            tokio::time::timeout(soon, ship(&pool, [late]))
                .await
                .expect("shipping goes on");
        }
    };
    let (done, ()) = tokio::join!(partitions::keep_up(&pool, crate::clock::assume(now)), shipping);
    let done = done.unwrap();
    assert_eq!((done.dropped, done.left), (0, 1));
    reader.rollback().await.unwrap();
    let done = partitions::keep_up(&pool, crate::clock::assume(now)).await.unwrap();
    assert_eq!((done.dropped, done.left), (1, 0));
    assert_eq!(count(&pool, "select count(*) from requests").await, 21);
}

#[sqlx::test]
async fn nodes_that_make_and_drop_the_same_days_get_in_nobodys_way(pool: PgPool) {
    let now = crate::clock::now();
    for round in 0..5 {
        let at = now + TimeDelta::days(round);
        let made =
            futures_util::future::join_all((0..4).map(|_| partitions::make_ahead(&pool, crate::clock::assume(at))))
                .await;
        made.into_iter().for_each(|made| made.unwrap());
    }
    assert_eq!(days(&pool).await.len(), 8);
    let later = now + TimeDelta::days(100);
    let kept =
        futures_util::future::join_all((0..4).map(|_| partitions::keep_up(&pool, crate::clock::assume(later)))).await;
    kept.into_iter().for_each(|kept| {
        kept.unwrap();
    });
    partitions::keep_up(&pool, crate::clock::assume(later)).await.unwrap();
    assert_eq!(days(&pool).await, Vec::<String>::new());
}

#[sqlx::test]
async fn a_run_goes_two_days_further_at_most_unless_an_operator_asks(pool: PgPool) {
    let owner = organisations(&pool, &[30]).await[0];
    let now: DateTime<Utc> = sqlx::query_scalar("select now()").fetch_one(&pool).await.unwrap();
    for days in [0, 25, 31, 32, 33, 34, 35, 36] {
        ship(&pool, [asked(now - TimeDelta::days(days), Some(owner), "contoso.com")]).await;
    }
    let set_as_of = async |days: i32| {
        sqlx::query("update request_log_retention set as_of = now() - make_interval(days => $1)")
            .bind(days)
            .execute(&pool)
            .await
            .unwrap();
    };
    let rows = async || count(&pool, "select count(*) from requests").await;

    // As if the database's clock had gone 90 days ahead since the last run: what is over moves by two days.
    set_as_of(90).await;
    for _ in 0..2 {
        let done = partitions::run(&pool).await.unwrap();
        assert_eq!((done.dropped, done.purged_rows), (0, 0), "{done:?}");
    }
    assert_eq!((days(&pool).await.len(), rows().await), (8, 8));
    let as_of = "select extract(day from now() - as_of)::bigint from request_log_retention";
    assert_eq!(count(&pool, as_of).await, 86);

    // Many days are over at once, by a shorter retention say: their rows go now, their partitions two by two.
    set_as_of(0).await;
    let done = partitions::run(&pool).await.unwrap();
    assert_eq!((done.dropped, done.postponed), (2, 4), "{done:?}");
    assert_eq!((days(&pool).await.len(), rows().await), (6, 2));

    // A clock that was set back moves it back.
    set_as_of(-90).await;
    assert_eq!(partitions::run(&pool).await.unwrap().dropped, 2);
    assert_eq!(count(&pool, as_of).await, 0);

    set_as_of(90).await;
    let done = partitions::run_without_limit(&pool).await.unwrap();
    assert_eq!(
        (done.dropped, done.postponed),
        (2, 0),
        "an operator asked for it: {done:?}"
    );
    assert_eq!((days(&pool).await.len(), rows().await), (2, 2));
}
