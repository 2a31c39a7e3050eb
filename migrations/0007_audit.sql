-- One row per change, written in the transaction that makes it.
create table audit_events (
    audit_event_id  uuid        not null,
    organisation_id uuid,
    client_id       uuid,
    at              timestamptz not null default now(),
    actor_kind      text        not null,
    actor_id        uuid,
    actor_name      text        not null,
    action          text        not null,
    subject_kind    text        not null,
    subject_id      uuid        not null,
    subject_name    text        not null,
    details         jsonb       not null default '{}',
    constraint audit_events_pkey primary key (audit_event_id),
    constraint audit_events_organisation_fkey foreign key (organisation_id) references organisations on delete cascade
);
create index audit_events_organisation_idx on audit_events (organisation_id, audit_event_id);
create index audit_events_at_idx on audit_events (at);
