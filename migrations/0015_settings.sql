-- Settings of an organisation: how long it keeps what, and when each of its members was last there.
-- Sessions are forgotten when they are over; when somebody was last seen is not.
alter table memberships
    add column seen_at timestamptz;

alter table organisations
    -- Requests of devices. What is older than 30 days goes with its partition, whatever stands here.
    add column request_days integer not null default 30,
    add column audit_days   integer not null default 365,
    add constraint organisations_request_days_range check (request_days between 1 and 400),
    add constraint organisations_audit_days_range check (audit_days between 30 and 3650);

-- For deleting an organisation's audit events by its own age, and for counting what it did of late.
create index audit_events_organisation_at_idx on audit_events (organisation_id, at);

create index invitations_expires_idx on invitations (expires_at);
