-- Organisations with 70 %, 25 % and 5 % of the domains, a client for each five of them, every status, and rows in
-- every table of tenants that grows. `plans.domains` says how many domains. Without triggers: they are not what is tested.
set session_replication_role = replica;
create temporary table sizes as
select gen_random_uuid() as organisation_id, n as size, current_setting('plans.domains')::int * share / 100 as domains
  from (values (1, 70), (2, 25), (3, 5)) s (n, share);
insert into organisations (organisation_id, name, user_digest_key, ownership_key, trusted_at)
select organisation_id, 'Organisation ' || size, '', '', now() from sizes;
insert into clients (client_id, organisation_id, name, external_ref)
select gen_random_uuid(), organisation_id, 'Client ' || lpad(n::text, 6, '0'), 'R' || n
  from sizes cross join lateral generate_series(0, domains / 5) n;
insert into mdm_servers (mdm_server_id, organisation_id, client_id, name, vendor, enrollment, parameters)
select gen_random_uuid(), organisation_id, client_id, 'Server', 'intune', 'byod', jsonb_build_object('tenant_id', gen_random_uuid())
  from clients;
create temporary table filled as
select ('0190' || lpad(to_hex(s.size), 4, '0') || '-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid as domain_id,
       s.organisation_id, c.client_id, n, n % 10 as kind,
       'n' || lpad(n::text, 7, '0') || case when n % 997 = 0 then '.seldom' else '' end || '.example' || s.size || '.com' as hostname,
       now() - make_interval(secs => n) as at
  from sizes s
 cross join lateral generate_series(1, s.domains) n
  join clients c on c.organisation_id = s.organisation_id and c.name = 'Client ' || lpad((n / 5)::text, 6, '0');
insert into domains (domain_id, organisation_id, client_id, hostname, connection, policy, ownership_verified_at, ownership_proof, suspended_at)
select domain_id, organisation_id, client_id, hostname, case when kind in (7, 8) then 'redirect' else 'direct' end,
       '{"default": {"action": "defer"}, "rules": []}',
       case when kind <> 0 then at end, case when kind <> 0 then 'dns' end, case when n % 100 = 6 then at end
  from filled;
insert into policy_servers (domain_id, mdm_server_id, client_id)
select f.domain_id, m.mdm_server_id, f.client_id from filled f join mdm_servers m using (client_id);
insert into domain_checks (domain_id, organisation_id, due_at, connection_checked_at, connected_at, connection_observed)
select domain_id, organisation_id, now() + make_interval(secs => n), at, case when kind > 1 then at end,
       case when kind in (7, 8) then '{"fetched": "ours"}'::jsonb
            else '{"records": {"a": {"Ok": {"aliases": [], "records": ["192.0.2.10"]}}, "aaaa": {"Ok": {"aliases": [], "records": []}}, "caa": {"Ok": {"aliases": [], "records": []}}, "dangling": null, "probe": null}}'::jsonb end
  from filled;
insert into certificates (certificate_id, organisation_id, domain_id, hostname, issuer, chain, key_sealed, not_before, not_after, renews_at, created_at)
select gen_random_uuid(), organisation_id, domain_id, hostname, 'internal', array[decode(repeat('00', 500), 'hex')], '', at,
       now() + make_interval(days => 90, secs => n), now() + make_interval(days => 60, secs => n), at
  from filled where kind > 1;
insert into certificate_leases (hostname, issuer, due_at, urgency, failure)
select hostname, 'internal', now() + make_interval(secs => n), 2,
       case when n % 100 = 2 then '{"code": "x", "message": "x", "remedy": "x", "at": "2026-01-01T00:00:00Z"}'::jsonb end
  from filled where kind <> 0;
insert into served_certificates (node_id, hostname, state, checked_at)
select '01900000-0000-7000-8000-000000000001', hostname, 'current', now() from filled where kind > 1;
insert into domain_statuses (domain_id, organisation_id, client_id, hostname, status, next_action, next_action_by, since, rederive_at, is_provisional)
select domain_id, organisation_id, client_id, hostname, status,
       case status when 'pending_ownership' then 'add_ownership_record' when 'pending_dns' then 'fix_dns' when 'suspended' then 'contact_operator' end,
       case status when 'pending_ownership' then 'client' when 'pending_dns' then 'client' when 'suspended' then 'msp' end,
       at, case when status = 'active' then now() + make_interval(days => 90, secs => n) end, false
  from (select *, case when n % 100 = 6 then 'suspended' when kind = 0 then 'pending_ownership' when kind = 1 then 'pending_dns'
                       when n % 1000 = 3 then 'attention' else 'active' end as status
          from filled) f
    on conflict do nothing;
insert into told_statuses (domain_id, status, judged_at) select domain_id, status, now() from domain_statuses;
insert into first_requests (domain_id, at) select domain_id, at from filled where kind > 1;
insert into share_links (share_link_id, organisation_id, client_id, domain_id, token_digest, created_at, expires_at)
select gen_random_uuid(), organisation_id, client_id, domain_id, decode(md5(domain_id::text), 'hex'), now(), now() + interval '7 days'
  from filled where n % 10 = 3;
insert into request_counts (hour, organisation_id, client_id, domain_id, hostname, model_family, outcome, count)
select date_trunc('hour', now()) - make_interval(hours => h), organisation_id, client_id, domain_id, hostname, 'Mac', 'served', 1
  from filled cross join generate_series(1, 3) h where n <= 20000;
insert into request_totals (organisation_id, client_id, hour, model_family, outcome, count)
select organisation_id, client_id, hour, model_family, outcome, sum(count) from request_counts group by 1, 2, 3, 4, 5;
insert into audit_events (audit_event_id, organisation_id, client_id, at, actor_kind, actor_name, action, subject_kind, subject_id, subject_name)
select domain_id, organisation_id, client_id, at, 'operator', 'Test', 'domain.created', 'domain', domain_id, hostname from filled;
insert into directory_changes (xid, hostname, at) select '1'::xid8, hostname, at from filled where n <= 20000;
insert into status_hints (domain_id) select domain_id from filled where n <= 1000;
insert into webhook_endpoints (webhook_endpoint_id, organisation_id, url, events, secret_sealed, created_at)
select gen_random_uuid(), organisation_id, 'https://example.com/', '{}', '', now() from sizes cross join generate_series(1, 10);
insert into webhook_deliveries (webhook_delivery_id, organisation_id, webhook_endpoint_id, event_id, event_type, payload, created_at, due_at)
select gen_random_uuid(), organisation_id, webhook_endpoint_id, gen_random_uuid(), 'x', '', now(), now()
  from webhook_endpoints cross join generate_series(1, 500);
insert into outbox (outbox_id, kind, payload, created_at, due_at, organisation_id)
select gen_random_uuid(), 'domain.status_changed', '{}', at, at, organisation_id from filled where n <= 2000;
insert into users (user_id, email_sealed, email_digest) select gen_random_uuid(), '', decode(md5(n::text), 'hex') from generate_series(1, 20000) n;
insert into memberships (organisation_id, user_id, role)
select organisation_id, user_id, 'viewer' from users cross join sizes where size = 1 or get_byte(email_digest, 0) < 20;
insert into sessions (session_id, user_id, organisation_id, token_digest, created_at, seen_at, expires_at, authenticated_at, browser)
select gen_random_uuid(), user_id, organisation_id, decode(md5(organisation_id::text || user_id), 'hex'), now(), now(),
       now() + interval '1 day', now(), '' from memberships;
insert into api_tokens (api_token_id, organisation_id, name, token_digest, scopes)
select gen_random_uuid(), organisation_id, 'Token', decode(md5(organisation_id::text || n), 'hex'), '{}' from sizes cross join generate_series(1, 300) n;
insert into tombstones (hostname, organisation_id, proved_at, released_at)
select 'gone.' || hostname, organisation_id, at, at from filled where n <= 5000;
create table requests_filled partition of requests for values from ('2026-01-01') to ('2036-01-01');
insert into requests (request_id, at, organisation_id, client_id, domain_id, hostname, model_family, outcome, status, client_network)
select domain_id, now() - make_interval(secs => n), organisation_id, client_id, domain_id, hostname, 'Mac', 'served', 200, '192.0.2.0/24'
  from filled where n <= 20000;
drop table filled;
drop table sizes;
set session_replication_role = origin;
