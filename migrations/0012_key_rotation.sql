-- A new secret key: everything is sealed anew under it, in the background, and then the old one may go.
-- `sealing_since`: when the key first stood first in a node's file. The latest such key is the one that
-- all is brought under, so that two nodes with different files do not undo each other's work.
-- `resealed_at`: when, last, everything had come under it; nodes then write their snapshots anew.
alter table sealing_keys
    add column sealing_since timestamptz,
    add column resealed_at   timestamptz;
update sealing_keys set sealing_since = created_at where (select count(*) from sealing_keys) = 1;

-- Sealing an organisation's key anew changes nothing of what is served; replacing it would.
drop trigger organisations_updated on organisations;
create trigger organisations_updated after update on organisations
    referencing new table as changed for each statement
    when (coalesce(current_setting('signpost.resealing', true), '') <> 'on')
    execute function log_organisation_changes();
