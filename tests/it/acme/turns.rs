//! Whose turn it is, straight from the table: two nodes, several organisations.
use chrono::{DateTime, TimeDelta, Utc};
use signpost::certificates::{
    failure::Failure,
    orders::{Reservation, store as orders},
    turns::{
        Eligible, Lease, Postponed, Turn,
        store::{self as turns, claim_due},
    },
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

const CA: &str = "https://ca.test/directory";

fn eligible() -> Eligible {
    Eligible {
        issuer: CA.to_owned(),
        own_hosts: vec!["portal.signpost.test".to_owned()],
        connected_only: false,
    }
}

/// Puts `count` proven domains of a new organisation in the queue, the first of them due at `due_at`.
async fn organisation(db: &mut PgConnection, name: &str, count: i32, due_at: DateTime<Utc>) -> Uuid {
    let id = Uuid::now_v7();
    for statement in [
        "insert into organisations (organisation_id, name, user_digest_key, ownership_key) values ($1, $2, '', '')",
        "insert into clients (client_id, organisation_id, name) values ($1, $1, $2)",
    ] {
        sqlx::query(statement)
            .bind(id)
            .bind(name)
            .execute(&mut *db)
            .await
            .unwrap();
    }
    sqlx::query(
        "with new as (
              insert into domains (domain_id, organisation_id, client_id, hostname, connection, policy, ownership_verified_at, ownership_proof)
              select gen_random_uuid(), $1, $1, number || '.' || $2 || '.test', 'direct', '{}', now(), 'dns'
                from generate_series(1, $3) number
           returning hostname)
         insert into certificate_leases (hostname, issuer, due_at)
         select hostname, $4, $5 + split_part(hostname, '.', 1)::integer * interval '1 millisecond' from new",
    )
    .bind(id)
    .bind(name)
    .bind(count)
    .bind(CA)
    .bind(due_at)
    .execute(&mut *db)
    .await
    .unwrap();
    id
}

async fn claim(db: &mut PgConnection, now: DateTime<Utc>, limit: i64, crowded: &[Uuid]) -> Vec<Turn> {
    let lease = Lease {
        renewals: i64::MAX,
        now: crate::clock::assume(now),
        until: crate::clock::assume(now + TimeDelta::seconds(30)),
        limit,
        crowded: crowded.to_vec(),
    };
    let mut claimed = claim_due(db, &eligible(), &lease).await.unwrap();
    claimed.sort_by(|one, other| one.hostname.cmp(&other.hostname));
    claimed
}

fn names(turns: &[Turn]) -> Vec<&str> {
    turns.iter().map(|turn| turn.hostname.as_str()).collect()
}

#[sqlx::test]
async fn a_crowded_organisation_waits_and_whoever_is_behind_it_does_not(pool: PgPool) {
    let (mut db, now) = (pool.acquire().await.unwrap(), crate::clock::now());
    let many = organisation(&mut db, "many", 300, now - TimeDelta::hours(1)).await;
    let few = organisation(&mut db, "few", 2, now - TimeDelta::minutes(1)).await;
    turns::want_all(&mut db, &eligible(), crate::clock::assume(now))
        .await
        .unwrap();
    let first = claim(&mut db, now, 64, &[]).await;
    assert_eq!(first.len(), 64);
    assert!(first.iter().all(|turn| turn.organisation_id == Some(many)));
    let second = claim(&mut db, now, 32, &[many]).await;
    assert_eq!(names(&second), ["1.few.test", "2.few.test", "portal.signpost.test"]);
    let owners: Vec<_> = second.iter().map(|turn| turn.organisation_id).collect();
    assert_eq!(owners, [Some(few), Some(few), None]);
    assert!(claim(&mut db, now, 32, &[many, few]).await.is_empty());
    assert_eq!(claim(&mut db, now, 32, &[few]).await.len(), 32);
}

#[sqlx::test]
async fn a_node_that_overslept_changes_nothing_any_more(pool: PgPool) {
    let (mut db, now) = (pool.acquire().await.unwrap(), crate::clock::now());
    organisation(&mut db, "contoso", 1, now).await;
    let late = now + TimeDelta::seconds(31);
    let overslept = claim(&mut db, now + TimeDelta::seconds(1), 1, &[]).await.remove(0);
    let reservation = Reservation {
        order_id: Uuid::now_v7(),
        registered_domain: "contoso.test".to_owned(),
        key_sealed: vec![1],
        replaces: None,
        profile: None,
        created_at: now,
    };
    orders::insert(&mut db, CA, &overslept.hostname, &reservation)
        .await
        .unwrap();
    assert!(claim(&mut db, now + TimeDelta::seconds(2), 1, &[]).await.is_empty());
    let holder = claim(&mut db, late + TimeDelta::seconds(1), 1, &[]).await.remove(0);
    assert!(holder.epoch > overslept.epoch);
    let row = "select (l.*)::text || coalesce((select o.url from acme_orders o), '') from certificate_leases l";
    let before: String = sqlx::query_scalar(row).fetch_one(&mut *db).await.unwrap();

    assert!(!turns::confirm(&mut db, CA, &overslept).await.unwrap());
    assert!(
        !turns::extend(&mut db, CA, &overslept, crate::clock::assume(late))
            .await
            .unwrap()
    );
    assert!(!turns::done(&mut db, CA, &overslept, late).await.unwrap());
    let url = "https://ca.test/order/1";
    let set = orders::set_url(&mut db, CA, &overslept, reservation.order_id, url).await;
    assert!(!set.unwrap());
    let postponed = Postponed {
        failure: Failure::of_us("a test", now),
        until: late,
        attempts: 7,
        is_preflight: true,
        is_failure: true,
    };
    turns::postpone(&mut db, CA, &overslept, &postponed).await.unwrap();
    turns::forget(&mut db, CA, &overslept).await.unwrap();
    let given_back = std::slice::from_ref(&overslept);
    turns::give_back(&mut db, CA, given_back).await.unwrap();
    let after: String = sqlx::query_scalar(row).fetch_one(&mut *db).await.unwrap();
    assert_eq!(before, after);

    assert!(turns::confirm(&mut db, CA, &holder).await.unwrap());
    let set = orders::set_url(&mut db, CA, &holder, reservation.order_id, url).await;
    assert!(set.unwrap());
    turns::give_back(&mut db, CA, std::slice::from_ref(&holder))
        .await
        .unwrap();
    assert!(!turns::confirm(&mut db, CA, &holder).await.unwrap(), "given back");
    let next = claim(&mut db, late + TimeDelta::seconds(1), 1, &[]).await;
    assert_eq!(next.len(), 1, "at once, without waiting for the lease to end");
}

#[sqlx::test]
async fn what_expires_soon_overtakes_what_has_waited_longer(pool: PgPool) {
    let (mut db, now) = (pool.acquire().await.unwrap(), crate::clock::now());
    organisation(&mut db, "new", 3, now - TimeDelta::hours(2)).await;
    organisation(&mut db, "old", 2, now - TimeDelta::hours(1)).await;
    for (hostname, urgent_at) in [
        ("1.old.test", now + TimeDelta::days(3)),
        ("2.old.test", now - TimeDelta::days(1)),
    ] {
        sqlx::query(
            "with renewal as (update certificate_leases set urgency = 2 where hostname = $1)
             insert into certificates (certificate_id, hostname, issuer, chain, key_sealed, not_before, not_after, renews_at, urgent_at)
             values (gen_random_uuid(), $1, $2, '{}', '', now(), now() + interval '5 days', now(), $3)",
        )
        .bind(hostname)
        .bind(CA)
        .bind(urgent_at)
        .execute(&mut *db)
        .await
        .unwrap();
    }
    assert_eq!(
        turns::raise_urgency(&mut db, CA, crate::clock::assume(now))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        turns::raise_urgency(&mut db, CA, crate::clock::assume(now))
            .await
            .unwrap(),
        0,
        "it is raised already"
    );
    let first = claim(&mut db, now, 1, &[]).await;
    assert_eq!((names(&first), first[0].is_urgent), (vec!["2.old.test"], true));
    let second = claim(&mut db, now, 3, &[]).await;
    assert_eq!(names(&second), ["1.new.test", "2.new.test", "3.new.test"]);
    assert_eq!(names(&claim(&mut db, now, 9, &[]).await), ["1.old.test"]);
}
