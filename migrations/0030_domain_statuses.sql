-- A domain's status as lists, counts and filters need it: src/domains/status.rs derives it, and src/domains/told writes
-- what it derived (docs/adr/0022-a-projection-of-statuses.md). The page of one domain never reads this table.
create table domain_statuses (
    domain_id       uuid        not null,
    organisation_id uuid        not null,
    client_id       uuid        not null,
    -- A domain's hostname never changes. Byte order: any locale has the same, and `~` sorts after every hostname.
    hostname        text        collate "C" not null,
    status          text        not null,
    -- The code of the next action and who must take it; null: no action is needed.
    next_action     text,
    next_action_by  text,
    since           timestamptz not null,
    -- When the status changes although no row does: the certificate expires.
    rederive_at     timestamptz,
    -- Written by a trigger, not derived: the notifier derives it next.
    is_provisional  boolean     not null,
    constraint domain_statuses_pkey primary key (domain_id),
    constraint domain_statuses_domain_fkey foreign key (domain_id) references domains on delete cascade,
    constraint domain_statuses_status_known check (status in (
        'pending_ownership', 'pending_dns', 'pending_certificate', 'active', 'attention', 'suspended')),
    constraint domain_statuses_actor_known check (next_action_by in ('client', 'msp', 'signpost'))
);
insert into domain_statuses (domain_id, organisation_id, client_id, hostname, status, since, is_provisional)
select d.domain_id, d.organisation_id, d.client_id, d.hostname,
       coalesce(t.status, case when d.ownership_verified_at is null then 'pending_ownership' else 'pending_dns' end),
       now(), true
  from domains d left join told_statuses t using (domain_id);
-- One index for each order of a list by status, of an organisation and of one client. The first two also count.
create index domain_statuses_organisation_hostname_idx on domain_statuses (organisation_id, status, hostname) include (next_action_by);
create index domain_statuses_client_hostname_idx on domain_statuses (organisation_id, client_id, status, hostname) include (next_action_by);
create index domain_statuses_organisation_domain_idx on domain_statuses (organisation_id, status, domain_id nulls first);
create index domain_statuses_client_domain_idx on domain_statuses (organisation_id, client_id, status, domain_id nulls first);
create index domain_statuses_rederive_idx on domain_statuses (rederive_at) where rederive_at is not null;
create index domain_statuses_provisional_idx on domain_statuses (domain_id) where is_provisional;

-- What the rows of `domain_statuses` were derived with: the rules of this version, the issuer in force and our own
-- addresses. A node with another derivation replaces it and derives every status anew; `derived_until` is the last
-- domain that it has hinted at, null once all are.
create table status_derivations (
    singleton     boolean not null default true,
    derivation    text    not null,
    derived_until uuid,
    constraint status_derivations_pkey primary key (singleton),
    constraint status_derivations_single check (singleton)
);

-- Every domain has a row from its registration on, whichever version of Signpost registers it. An unverified domain
-- waits for its ownership record; the notifier derives everything else within a second.
create function project_domain_status() returns trigger language plpgsql as $$
begin
    insert into domain_statuses (domain_id, organisation_id, client_id, hostname, status, next_action, next_action_by, since, is_provisional)
    select domain_id, organisation_id, client_id, hostname, 'pending_ownership', 'add_ownership_record', 'client', now(), false
      from changed
        on conflict on constraint domain_statuses_pkey do nothing;
    return null;
end $$;
create trigger domains_inserted_status after insert on domains
    referencing new table as changed for each statement execute function project_domain_status();

-- A node of the previous version derives statuses too, and writes them to `told_statuses` only.
create function project_told_status() returns trigger language plpgsql as $$
begin
    update domain_statuses
       set status = new.status, next_action = null, next_action_by = null, since = now(), is_provisional = true
     where domain_id = new.domain_id and status <> new.status;
    return null;
end $$;
create trigger told_statuses_inserted_status after insert on told_statuses
    for each row when (new.status is not null) execute function project_told_status();
create trigger told_statuses_updated_status after update on told_statuses
    for each row when (new.status is not null) execute function project_told_status();

-- Hints for everything that the next action follows from, and for certificates that are deleted.
drop trigger domain_checks_updated_hint on domain_checks;
create trigger domain_checks_updated_hint after update on domain_checks
    for each row when (
        (old.connection_observed, old.connected_at is null, old.ownership_missing_since is null, old.ownership_seen_since is null,
         old.ownership_absent_at)
        is distinct from
        (new.connection_observed, new.connected_at is null, new.ownership_missing_since is null, new.ownership_seen_since is null,
         new.ownership_absent_at))
    execute function hint_at_domain();
create trigger domains_inserted_claim_hint after insert on domains
    for each row when (new.ownership_verified_at is not null or new.takes_over_at is not null)
    execute function hint_at_hostname();
create function hint_at_former_domain() returns trigger language plpgsql as $$
begin
    insert into status_hints (domain_id) values (old.domain_id);
    return null;
end $$;
create trigger certificates_deleted_hint after delete on certificates
    for each row when (old.domain_id is not null) execute function hint_at_former_domain();
create function hint_at_holder() returns trigger language plpgsql as $$
begin
    insert into status_hints (domain_id)
    select domain_id from domains where hostname = new.hostname and ownership_verified_at is not null;
    return null;
end $$;
create trigger certificate_leases_updated_hint after update on certificate_leases
    for each row when ((old.failure is null, old.failure ->> 'is_theirs') is distinct from (new.failure is null, new.failure ->> 'is_theirs'))
    execute function hint_at_holder();

-- Which domains devices are answered for.
create view served_domains as
select d.*
  from domains d join organisations o using (organisation_id)
 where d.ownership_verified_at is not null and d.suspended_at is null and o.suspended_at is null;

-- Lists in every order, and whether an organisation has a verified domain. `nulls first` is an order that the primary key
-- does not have: a plan for any parameters would walk that, past the rows of every other organisation.
create index domains_organisation_hostname_idx on domains (organisation_id, hostname collate "C");
create index domains_client_hostname_idx on domains (organisation_id, client_id, hostname collate "C");
create index domains_organisation_domain_idx on domains (organisation_id, domain_id nulls first);
create index domains_client_domain_idx on domains (organisation_id, client_id, domain_id nulls first);
drop index domains_organisation_idx;
create index domains_verified_idx on domains (organisation_id, client_id, domain_id nulls first) where ownership_verified_at is not null;
-- The same columns as domains_client_domain_key.
drop index domains_client_idx;
