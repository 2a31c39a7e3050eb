-- What a wrong clock may not decide. Every time in here is the database's.

-- The highest transaction whose rows of directory_changes have been deleted. A reader whose position is not above it may
-- have missed changes, and loads everything. A trigger keeps it, so that it is right whoever deletes, also a node of the
-- version before.
create table directory_change_prunes (
    is_only       boolean not null default true,
    deleted_up_to xid8    not null default '0',
    constraint directory_change_prunes_pkey primary key (is_only),
    constraint directory_change_prunes_one_row check (is_only)
);
insert into directory_change_prunes default values;

create function record_directory_change_prune() returns trigger language plpgsql as $$
declare
    highest xid8 := (select xid from deleted order by xid desc limit 1);
begin
    update directory_change_prunes set deleted_up_to = highest where deleted_up_to < highest;
    return null;
end $$;
create trigger directory_changes_deleted after delete on directory_changes
    referencing old table as deleted for each statement execute function record_directory_change_prune();

-- Up to when old requests have been deleted. A run moves it by two days at most, so that a clock that is months ahead does
-- not empty the request log at once.
create table request_log_retention (
    is_only boolean     not null default true,
    as_of   timestamptz not null default now(),
    constraint request_log_retention_pkey primary key (is_only),
    constraint request_log_retention_one_row check (is_only)
);
insert into request_log_retention default values;

-- When a certificate last replaced another one: renewals of an hour are limited to a share of all certificates.
alter table certificates add column renewed_at timestamptz;
create index certificates_renewed_idx on certificates (issuer, renewed_at) where renewed_at is not null;
