-- A person whose requests are erased. Remembered for as long as a request from before may still come out of a spool, so
-- that shipping leaves it out. No foreign key: shipping must not wait for changes of an organisation.
create table erasures (
    erasure_id      uuid        not null,
    organisation_id uuid        not null,
    -- Null: whatever client was asked for.
    client_id       uuid,
    user_digest     bytea       not null,
    -- Requests before this time are erased; of a person who asks again, what comes later is kept.
    requested_at    timestamptz not null,
    -- A transaction that began after the erasure was known. When all before it have ended, none is left that could
    -- have written rows without knowing.
    known_at_xid    xid8,
    erased_rows     bigint      not null default 0,
    -- When the last row was gone.
    completed_at    timestamptz,
    constraint erasures_pkey primary key (erasure_id)
);
create index erasures_user_idx on erasures (organisation_id, user_digest);
