-- Certificates by hostname and issuer. The issuer is part of the key so that a certificate of a
-- trial or staging CA is never served where another is configured. `domain_id` is null for the
-- portal's and the edge's own names.
create table certificates (
    certificate_id  uuid        not null,
    organisation_id uuid,
    domain_id       uuid,
    hostname        text        not null,
    issuer          text        not null,
    chain           bytea[]     not null,
    key_sealed      bytea       not null,
    not_before      timestamptz not null,
    not_after       timestamptz not null,
    renews_at       timestamptz not null,
    created_at      timestamptz not null default now(),
    constraint certificates_pkey primary key (certificate_id),
    constraint certificates_hostname_key unique (hostname, issuer),
    constraint certificates_domain_fkey foreign key (domain_id) references domains on delete cascade
);
create index certificates_domain_idx on certificates (domain_id);
create index certificates_renewal_idx on certificates (renews_at);

-- Who is at work on which hostname: a lease, and an epoch that every later write must match, so
-- that a node that slept through its lease can't overwrite its successor's work.
create table certificate_leases (
    hostname    text        not null,
    issuer      text        not null,
    lease_until timestamptz not null,
    epoch       bigint      not null default 1,
    attempts    integer     not null default 0,
    last_error  text,
    constraint certificate_leases_pkey primary key (hostname, issuer)
);
