-- Several organisations may claim one hostname; one of them holds it: the one whose claim is
-- verified. What was last seen of a domain from outside stands in a table of its own, because it
-- changes with every look, and a change of `domains` makes every node load the domain anew.
alter table domains
    drop constraint domains_hostname_key,
    add constraint domains_organisation_hostname_key unique (organisation_id, hostname),
    -- `dns`: the TXT record, looked at again every day. `operator`: somebody's word at the command line.
    add column ownership_proof text,
    -- A newer proof than the holder's: the hostname is taken over then.
    add column takes_over_at timestamptz;
update domains set ownership_proof = 'operator' where ownership_verified_at is not null;
alter table domains
    add constraint domains_ownership_proof_known check (ownership_proof in ('dns', 'operator')),
    add constraint domains_ownership_proof_given check ((ownership_proof is null) = (ownership_verified_at is null)),
    add constraint domains_takes_over_unverified check (takes_over_at is null or ownership_verified_at is null);
create unique index domains_holder_key on domains (hostname) where ownership_verified_at is not null;
create index domains_hostname_idx on domains (hostname);

create table domain_checks (
    domain_id               uuid        not null,
    -- Ownership: what stood at the record's name. Of `seen_since` and `missing_since` one is set once
    -- an answer came; `absent_at` is the last time that our value was not there, for ever.
    ownership_checked_at    timestamptz,
    ownership_observed      text[]      not null default '{}',
    ownership_failure       jsonb,
    -- Another name, at which our value stands by mistake.
    ownership_misplaced     text,
    ownership_seen_since    timestamptz,
    ownership_missing_since timestamptz,
    ownership_absent_at     timestamptz,
    -- Connection: what was observed, never what we think of it. `connected_at`: the last time it was right.
    connection_checked_at   timestamptz,
    connection_observed     jsonb,
    connected_at            timestamptz,
    -- What Entra publishes for the hostname; null when it knows none.
    tenant_checked_at       timestamptz,
    tenant_id               uuid,
    -- Null: dormant, until somebody asks for a check.
    due_at                  timestamptz          default now(),
    quick_since             timestamptz not null default now(),
    lease_until             timestamptz,
    -- Raised by every claim, so that a node that overslept can't overwrite its successor's work.
    epoch                   bigint      not null default 0,
    constraint domain_checks_pkey primary key (domain_id),
    constraint domain_checks_domain_fkey foreign key (domain_id) references domains on delete cascade,
    constraint domain_checks_ownership_seen check (ownership_seen_since is null or ownership_missing_since is null)
);
create index domain_checks_due_idx on domain_checks (due_at);
insert into domain_checks (domain_id) select domain_id from domains;

-- Who held a hostname last, so that a record that was forgotten from an earlier time gives it to nobody else.
create table tombstones (
    hostname        text        not null,
    organisation_id uuid        not null,
    -- When the proof was made that is now given up.
    proved_at       timestamptz not null,
    released_at     timestamptz not null,
    constraint tombstones_pkey primary key (hostname),
    constraint tombstones_organisation_fkey foreign key (organisation_id) references organisations on delete cascade
);
