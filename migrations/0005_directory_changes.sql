-- The log that keeps every node's directory in memory fresh. A row names a hostname whose entry or
-- certificate may have changed, and the transaction that changed it. A node remembers the oldest
-- transaction that was still running when it last looked (xmin of its snapshot) and reads what has
-- come since: nothing that commits late can slip behind it. NOTIFY only says "look now".
create table directory_changes (
    directory_change_id bigint      generated always as identity,
    xid                 xid8        not null default pg_current_xact_id(),
    hostname            text        not null,
    at                  timestamptz not null default now(),
    constraint directory_changes_pkey primary key (directory_change_id)
);
create index directory_changes_xid_idx on directory_changes (xid);
create index directory_changes_at_idx on directory_changes (at);

create function directory_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('signpost_directory', '');
    return null;
end $$;
create trigger directory_changes_notify after insert on directory_changes
    for each statement execute function directory_changed();

create function log_hostname_changes() returns trigger language plpgsql as $$
begin
    insert into directory_changes (hostname) select distinct hostname from changed;
    return null;
end $$;
create trigger domains_inserted after insert on domains
    referencing new table as changed for each statement execute function log_hostname_changes();
create trigger domains_updated after update on domains
    referencing new table as changed for each statement execute function log_hostname_changes();
create trigger domains_deleted after delete on domains
    referencing old table as changed for each statement execute function log_hostname_changes();
create trigger certificates_inserted after insert on certificates
    referencing new table as changed for each statement execute function log_hostname_changes();
create trigger certificates_updated after update on certificates
    referencing new table as changed for each statement execute function log_hostname_changes();
create trigger certificates_deleted after delete on certificates
    referencing old table as changed for each statement execute function log_hostname_changes();

create function log_server_changes() returns trigger language plpgsql as $$
begin
    insert into directory_changes (hostname)
    select distinct d.hostname
      from changed c
      join policy_servers p using (mdm_server_id)
      join domains d on d.domain_id = p.domain_id;
    return null;
end $$;
create trigger mdm_servers_updated after update on mdm_servers
    referencing new table as changed for each statement execute function log_server_changes();

create function log_organisation_changes() returns trigger language plpgsql as $$
begin
    insert into directory_changes (hostname)
    select d.hostname from changed c join domains d using (organisation_id);
    return null;
end $$;
create trigger organisations_updated after update on organisations
    referencing new table as changed for each statement execute function log_organisation_changes();
