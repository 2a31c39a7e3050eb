-- What devices asked. Rows are partitioned by day so that retention drops whole tables; nodes make
-- the partitions as they ship. No foreign keys: history outlives what it speaks of, and shipping
-- stays cheap. The user is a keyed digest, the address a network.
create table requests (
    request_id      uuid        not null,
    at              timestamptz not null,
    organisation_id uuid,
    client_id       uuid,
    domain_id       uuid,
    hostname        text        not null,
    model_family    text        not null,
    user_digest     bytea,
    outcome         text        not null,
    status          smallint    not null,
    mdm_server_id   uuid,
    user_agent      text,
    client_network  text        not null,
    tls             text
) partition by range (at);
create index requests_organisation_idx on requests (organisation_id, request_id);
create index requests_domain_idx on requests (domain_id, request_id);

-- Written in the same transaction as the rows. `domain_id` is the nil UUID for domains unknown to us.
create table request_counts (
    hour            timestamptz not null,
    organisation_id uuid,
    client_id       uuid,
    domain_id       uuid        not null,
    hostname        text        not null,
    model_family    text        not null,
    outcome         text        not null,
    count           bigint      not null,
    constraint request_counts_pkey primary key (hour, domain_id, model_family, outcome)
);
create index request_counts_organisation_idx on request_counts (organisation_id, hour);

-- How far each node's spool has been shipped: moved in the transaction that ships, so that a
-- crash between commit and clean-up ships nothing twice.
create table spool_positions (
    spool_id   uuid        not null,
    segment    bigint      not null,
    position   bigint      not null,
    updated_at timestamptz not null default now(),
    constraint spool_positions_pkey primary key (spool_id)
);
