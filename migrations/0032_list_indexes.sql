-- Lists by what they are filtered by. `nulls first`: see 0030.
create index audit_events_organisation_id_idx on audit_events (organisation_id, audit_event_id nulls first);
create index audit_events_client_idx on audit_events (organisation_id, client_id, audit_event_id nulls first);
create index audit_events_subject_idx on audit_events (organisation_id, subject_id, audit_event_id nulls first);
create index audit_events_name_idx on audit_events (organisation_id, subject_name, audit_event_id nulls first)
    where subject_kind in ('domain', 'share_link');
create index audit_events_domain_idx on audit_events (organisation_id, (details ->> 'domain_id'), audit_event_id nulls first)
    where details ->> 'domain_id' is not null;
drop index audit_events_organisation_idx;
create index mdm_servers_organisation_id_idx on mdm_servers (organisation_id, mdm_server_id nulls first);
create index mdm_servers_client_id_idx on mdm_servers (organisation_id, client_id, mdm_server_id nulls first);
drop index mdm_servers_organisation_idx;
create index clients_organisation_id_idx on clients (organisation_id, client_id nulls first);
create index webhook_deliveries_newest_idx on webhook_deliveries (organisation_id, webhook_endpoint_id, webhook_delivery_id nulls first);
drop index webhook_deliveries_endpoint_idx;
