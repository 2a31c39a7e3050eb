//! What a server says of itself, and the limits of a session.
use chrono::{DateTime, Utc};
use sqlx::{Error, PgConnection};

/// A server as one session sees it.
pub struct ServerState {
    /// How often a replica was promoted before this server took writes ("Timelines" in PostgreSQL's manual). `None`: it
    /// is a replica.
    pub timeline: Option<i32>,
    /// Whether this session's transactions may change nothing.
    pub is_read_only: bool,
    /// Whether those of new sessions may not, as `alter database` or `alter role` says.
    pub new_are_read_only: bool,
}

pub async fn find_state(db: &mut PgConnection) -> Result<ServerState, Error> {
    // The timeline: the first eight digits of a WAL file's name. Of the settings, that of the role in this database comes
    // first, then that of the role, and then that of the database.
    sqlx::query_as!(
        ServerState,
        r#"select case when not pg_is_in_recovery()
                       then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int end as timeline,
                  current_setting('transaction_read_only')::bool as "is_read_only!",
                  coalesce((select split_part(setting, '=', 2)::bool
                              from pg_db_role_setting, unnest(setconfig) as setting
                             where setting like 'default_transaction_read_only=%'
                               and setdatabase in (0, (select oid from pg_database where datname = current_database()))
                               and setrole in (0, (select oid from pg_roles where rolname = session_user))
                             order by setrole <> 0 desc, setdatabase <> 0 desc
                             limit 1), false) as "new_are_read_only!""#
    )
    .fetch_one(db)
    .await
}

/// Of a session, in milliseconds; 0: none.
#[derive(Clone, Copy)]
pub struct Timeouts {
    pub statement: u32,
    pub lock: u32,
    pub idle_in_transaction: u32,
}

/// Sets the timeouts of a session. Returns its process id and when it began.
pub async fn begin_session(db: &mut PgConnection, timeouts: Timeouts) -> Result<(i32, DateTime<Utc>), Error> {
    let row = sqlx::query!(
        r#"select pid as "pid!", backend_start as "backend_start!",
                  set_config('statement_timeout', $1, false) as statement,
                  set_config('lock_timeout', $2, false) as lock,
                  set_config('idle_in_transaction_session_timeout', $3, false) as idle
             from pg_stat_activity where pid = pg_backend_pid()"#,
        timeouts.statement.to_string(),
        timeouts.lock.to_string(),
        timeouts.idle_in_transaction.to_string(),
    )
    .fetch_one(db)
    .await?;
    Ok((row.pid, row.backend_start))
}

/// Has the server look each second whether this client is still there while it works for it, and give up if not. An error
/// if it can't: before PostgreSQL 14, and on some operating systems.
pub async fn set_client_check(db: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("select set_config('client_connection_check_interval', '1s', false)")
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Until the end of the transaction, for work that takes as long as there is data.
pub async fn lift_timeouts(db: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!(
        "select set_config('statement_timeout', '0', true) as statement,
                set_config('idle_in_transaction_session_timeout', '0', true) as idle"
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Ends those of these sessions that are at work. Returns how many.
pub async fn terminate_busy(db: &mut PgConnection, pids: &[i32], started_at: &[DateTime<Utc>]) -> Result<i64, Error> {
    sqlx::query_scalar!(
        r#"select count(*) filter (where pg_terminate_backend(pid)) as "ended!"
             from pg_stat_activity
             join unnest($1::int[], $2::timestamptz[]) as own (pid, backend_start) using (pid, backend_start)
            where state <> 'idle'"#,
        pids,
        started_at,
    )
    .fetch_one(db)
    .await
}
