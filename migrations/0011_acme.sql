-- Certificates from an ACME CA. The issuer of everything here is the CA's directory URL, so that a
-- staging CA and a production CA on one database never meet. Private keys are sealed.

-- Whose turn it is, for every hostname that is to have a certificate: `due_at` is when it is wanted or
-- to be renewed, so that what is due is found without looking at what is not. `urgency`: 0 expires soon,
-- 1 has none yet, 2 is a renewal in time. `failure`: why there is none, in words for people.
alter table certificate_leases
    add column due_at  timestamptz not null default now(),
    add column urgency smallint    not null default 1,
    add column failure jsonb,
    -- Nothing was asked of the CA yet: it is tried again as soon as the hostname is seen pointing at us.
    add column is_preflight boolean not null default false,
    alter column lease_until set default '-infinity',
    add constraint certificate_leases_urgency_known check (urgency between 0 and 2);
create index certificate_leases_due_idx on certificate_leases (issuer, urgency, due_at);

-- `urgent_at`: from here on it is renewed whatever the CA suggests. The CA's suggestion is RFC 9773's:
-- a window, in which `renews_at` was drawn once, and where it says why.
alter table certificates
    add column urgent_at          timestamptz,
    add column suggestion         jsonb,
    add column suggestion_due_at  timestamptz,
    add column profile            text;
create index certificates_suggestion_idx on certificates (issuer, suggestion_due_at);
create index certificates_urgent_idx on certificates (issuer, urgent_at);
-- What a CA suggests, or which secret key seals, changes nothing of what is served.
drop trigger certificates_updated on certificates;
create function log_certificate_change() returns trigger language plpgsql as $$
begin
    insert into directory_changes (hostname) values (new.hostname);
    return null;
end $$;
create trigger certificates_updated after update on certificates
    for each row when (old.certificate_id is distinct from new.certificate_id)
    execute function log_certificate_change();

-- A hostname whose certificate goes with its domain has its turn anew when it comes back.
create function forget_leases() returns trigger language plpgsql as $$
begin
    delete from certificate_leases l using removed r where l.hostname = r.hostname and l.issuer = r.issuer;
    return null;
end $$;
create trigger certificates_removed after delete on certificates
    referencing old table as removed for each statement execute function forget_leases();

-- One account for all nodes. The key is made first, and the CA makes one account a key (RFC 8555 §7.3.1);
-- `url` is null until it has. The breaker stands here too: it is one for all nodes.
create table acme_accounts (
    issuer       text        not null,
    key_sealed   bytea       not null,
    url          text,
    contact      text,
    created_at   timestamptz not null default now(),
    lease_until  timestamptz not null default '-infinity',
    failures     integer     not null default 0,
    paused_until timestamptz,
    pause_reason text,
    constraint acme_accounts_pkey primary key (issuer)
);

-- Every order that was ever placed, kept as long as the longest of the CA's limits counts. At most one
-- of a hostname is open; its key and its URL are stored before the next step, so that another node can
-- go on where this one stopped.
create table acme_orders (
    order_id          uuid        not null,
    issuer            text        not null,
    hostname          text        not null,
    -- What the CA counts certificates by: the name that was bought.
    registered_domain text        not null,
    -- Who held the hostname then; null for hosts of our own. Counted by, and kept when the organisation is gone.
    organisation_id   uuid,
    key_sealed        bytea,
    url               text,
    -- RFC 9773 §5: the certificate that this one replaces; such orders count against no limit.
    replaces          text,
    profile           text,
    created_at        timestamptz not null,
    -- `issued`, `invalid` (a validation failed), `refused` (nothing was validated), `given_up`.
    outcome           text,
    finished_at       timestamptz,
    constraint acme_orders_pkey primary key (order_id),
    constraint acme_orders_finished check ((outcome is null) = (finished_at is null)),
    constraint acme_orders_key_kept check (finished_at is not null or key_sealed is not null),
    constraint acme_orders_outcome_known check (outcome in ('issued', 'invalid', 'refused', 'given_up'))
);
create unique index acme_orders_open_key on acme_orders (issuer, hostname) where finished_at is null;
create index acme_orders_created_idx on acme_orders (issuer, created_at);
create index acme_orders_hostname_idx on acme_orders (hostname, created_at);
create index acme_orders_organisation_idx on acme_orders (issuer, organisation_id, created_at);
create index acme_orders_registered_idx on acme_orders (issuer, registered_domain, created_at);

-- What a CA was told to look for, and nothing else is answered.
create table acme_challenges (
    issuer     text        not null,
    hostname   text        not null,
    token      text        not null,
    type       text        not null,
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    constraint acme_challenges_pkey primary key (hostname, token),
    constraint acme_challenges_type_known check (type in ('http-01', 'tls-alpn-01'))
);
create index acme_challenges_expires_idx on acme_challenges (expires_at);

-- The nodes that are alive, and which of them answer a challenge already: a CA is told to look only
-- when every one does.
create table nodes (
    node_id    uuid        not null,
    -- The CA whose challenges it answers: nobody else's order waits for it. Null: not told, waited for.
    issuer     text,
    started_at timestamptz not null,
    seen_at    timestamptz not null,
    constraint nodes_pkey primary key (node_id)
);
create table challenge_sightings (
    hostname text not null,
    token    text not null,
    node_id  uuid not null,
    constraint challenge_sightings_pkey primary key (hostname, token, node_id),
    constraint challenge_sightings_challenge_fkey foreign key (hostname, token) references acme_challenges on delete cascade
);
create function challenges_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('signpost_challenges', '');
    return null;
end $$;
create trigger acme_challenges_notify after insert or delete on acme_challenges
    for each statement execute function challenges_changed();

-- Certificates to be revoked because somebody asked for it.
create table acme_revocations (
    revocation_id uuid        not null,
    issuer        text        not null,
    hostname      text        not null,
    -- DER.
    certificate   bytea       not null,
    created_at    timestamptz not null default now(),
    due_at        timestamptz not null default now(),
    attempts      integer     not null default 0,
    last_error    text,
    constraint acme_revocations_pkey primary key (revocation_id)
);

-- What is to be told to somebody outside: written in the transaction that it tells of, sent after.
create table outbox (
    outbox_id       uuid        not null,
    organisation_id uuid,
    -- `certificate.expiring`, …
    kind            text        not null,
    -- One of a kind is told once.
    once            text,
    payload         jsonb       not null,
    created_at      timestamptz not null default now(),
    sent_at         timestamptz,
    constraint outbox_pkey primary key (outbox_id),
    constraint outbox_once_key unique (kind, once),
    constraint outbox_organisation_fkey foreign key (organisation_id) references organisations on delete cascade
);
create index outbox_unsent_idx on outbox (created_at) where sent_at is null;
