-- What happens to domains is told to programs (Standard Webhooks 1.0): facts go into the outbox in the transaction
-- they tell of, and from there to each endpoint that wants them, once.

-- `sent_at` of an event: handed to the endpoints. What is there from before is told to nobody.
alter table outbox add column client_id uuid;
update outbox set sent_at = now() where kind <> 'mail' and sent_at is null;
create index outbox_events_idx on outbox (created_at) where kind <> 'mail' and sent_at is null;

create table webhook_endpoints (
    webhook_endpoint_id uuid        not null,
    organisation_id     uuid        not null,
    -- Null: of every client.
    client_id           uuid,
    url                 text        not null,
    description         text        not null default '',
    events              text[]      not null,
    secret_sealed       bytea       not null,
    -- The one before, sealed for the same column: it signs beside the new one for a while.
    old_secret_sealed   bytea,
    old_secret_until    timestamptz,
    -- Since when every delivery has failed; null while they succeed.
    failing_since       timestamptz,
    disabled_at         timestamptz,
    -- `asked`: somebody here did it. `gone`: the receiver answered 410. `failing`: nothing arrived for days.
    disabled_reason     text,
    created_at          timestamptz not null,
    constraint webhook_endpoints_pkey primary key (webhook_endpoint_id),
    constraint webhook_endpoints_organisation_key unique (organisation_id, webhook_endpoint_id),
    constraint webhook_endpoints_organisation_fkey foreign key (organisation_id) references organisations on delete cascade,
    constraint webhook_endpoints_client_fkey foreign key (organisation_id, client_id) references clients (organisation_id, client_id) on delete cascade,
    constraint webhook_endpoints_disabled check ((disabled_at is null) = (disabled_reason is null)),
    constraint webhook_endpoints_reason_known check (disabled_reason in ('asked', 'gone', 'failing'))
);

-- One event on its way to one endpoint, claimed by lease. `epoch`: raised by every claim, so that a node that overslept
-- can't write over its successor's work.
create table webhook_deliveries (
    webhook_delivery_id uuid        not null,
    organisation_id     uuid        not null,
    webhook_endpoint_id uuid        not null,
    event_id            uuid        not null,
    event_type          text        not null,
    -- The body, byte for byte.
    payload             text        not null,
    created_at          timestamptz not null,
    due_at              timestamptz not null,
    lease_until         timestamptz not null default '-infinity',
    epoch               bigint      not null default 0,
    attempts            integer     not null default 0,
    -- Of the last attempt: what came back, or why nothing did.
    attempted_at        timestamptz,
    response_status     smallint,
    response_text       text,
    duration_ms         integer,
    delivered_at        timestamptz,
    given_up_at         timestamptz,
    constraint webhook_deliveries_pkey primary key (webhook_delivery_id),
    constraint webhook_deliveries_event_key unique (webhook_endpoint_id, event_id),
    constraint webhook_deliveries_endpoint_fkey foreign key (organisation_id, webhook_endpoint_id)
        references webhook_endpoints (organisation_id, webhook_endpoint_id) on delete cascade
);
create index webhook_deliveries_due_idx on webhook_deliveries (webhook_endpoint_id, due_at)
    where delivered_at is null and given_up_at is null;
create index webhook_deliveries_endpoint_idx on webhook_deliveries (webhook_endpoint_id, webhook_delivery_id);
create index webhook_deliveries_created_idx on webhook_deliveries (created_at);

-- A domain's status is derived, never stored. This is the one that was told last: null if it is not known yet, and no
-- row at all for a domain that nobody has looked at; it started as `pending_ownership`.
create table told_statuses (
    domain_id uuid        not null,
    status    text,
    judged_at timestamptz not null,
    constraint told_statuses_pkey primary key (domain_id),
    constraint told_statuses_domain_fkey foreign key (domain_id) references domains on delete cascade
);
insert into told_statuses (domain_id, status, judged_at) select domain_id, null, now() from domains;

-- Domains whose facts have changed, with the change's commit: their status may be another now. Rows are only added and
-- taken away, so that no two transactions wait for each other.
create table status_hints (
    status_hint_id bigint generated always as identity,
    domain_id      uuid   not null,
    constraint status_hints_pkey primary key (status_hint_id)
);
insert into status_hints (domain_id) select domain_id from domains;

create function hint_at_domain() returns trigger language plpgsql as $$
begin
    insert into status_hints (domain_id) values (new.domain_id);
    return null;
end $$;
-- Who holds a hostname, and who is about to, concerns all who claim it.
create function hint_at_hostname() returns trigger language plpgsql as $$
begin
    insert into status_hints (domain_id) select domain_id from domains where hostname = coalesce(new.hostname, old.hostname);
    return null;
end $$;
create function hint_at_organisation() returns trigger language plpgsql as $$
begin
    insert into status_hints (domain_id) select domain_id from domains where organisation_id = new.organisation_id;
    return null;
end $$;
create trigger domains_inserted_hint after insert on domains
    for each row execute function hint_at_domain();
create trigger domains_updated_hint after update on domains
    for each row when (
        (old.connection, old.ownership_verified_at, old.ownership_proof, old.takes_over_at, old.suspended_at)
        is distinct from (new.connection, new.ownership_verified_at, new.ownership_proof, new.takes_over_at, new.suspended_at))
    execute function hint_at_hostname();
create trigger domains_deleted_hint after delete on domains
    for each row execute function hint_at_hostname();
create trigger domain_checks_updated_hint after update on domain_checks
    for each row when (
        (old.connection_observed, old.connected_at is null, old.ownership_missing_since is null)
        is distinct from (new.connection_observed, new.connected_at is null, new.ownership_missing_since is null))
    execute function hint_at_domain();
create trigger certificates_inserted_hint after insert on certificates
    for each row when (new.domain_id is not null) execute function hint_at_domain();
create trigger certificates_updated_hint after update on certificates
    for each row when (new.domain_id is not null and old.certificate_id is distinct from new.certificate_id)
    execute function hint_at_domain();
create trigger organisations_updated_hint after update on organisations
    for each row when (old.suspended_at is distinct from new.suspended_at) execute function hint_at_organisation();
-- A certificate that has expired changes a status without anybody's doing.
create index certificates_not_after_idx on certificates (not_after);

-- When a device asked for a domain for the first time. No foreign key: shipping requests must not fail over it.
create table first_requests (
    domain_id uuid        not null,
    at        timestamptz not null,
    constraint first_requests_pkey primary key (domain_id)
);
insert into first_requests (domain_id, at)
select domain_id, min(hour) from request_counts
 where domain_id <> '00000000-0000-0000-0000-000000000000' group by domain_id;
create function forget_first_request() returns trigger language plpgsql as $$
begin
    delete from first_requests where domain_id = old.domain_id;
    return null;
end $$;
create trigger domains_deleted_first_request after delete on domains
    for each row execute function forget_first_request();
