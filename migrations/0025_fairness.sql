-- Organisations are free, so limits for one organisation are no fairness between many. Work is shared out by
-- organisation, and one that registered itself may have few domains that it has not proved.

alter table organisations
    -- Null: it registered itself, and no operator has vouched for it.
    add column trusted_at timestamptz;
update organisations set trusted_at = now();

-- Whose check it is, so that due checks can be found by organisation.
alter table domain_checks add column organisation_id uuid;
update domain_checks c set organisation_id = d.organisation_id from domains d where d.domain_id = c.domain_id;

-- Nodes of the version before insert without it.
create function fill_domain_check_organisation() returns trigger language plpgsql as $$
begin
    new.organisation_id := (select organisation_id from domains where domain_id = new.domain_id);
    return new;
end $$;
create trigger domain_checks_fill_organisation before insert on domain_checks
    for each row when (new.organisation_id is null) execute function fill_domain_check_organisation();

alter table domain_checks
    alter column organisation_id set not null,
    add constraint domain_checks_organisation_fkey foreign key (organisation_id) references organisations on delete cascade;
create index domain_checks_organisation_due_idx on domain_checks (organisation_id, due_at);

create index domains_unproved_idx on domains (organisation_id) where ownership_verified_at is null;
