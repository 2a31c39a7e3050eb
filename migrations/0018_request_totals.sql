-- What the plots of a whole organisation, and of a client, are drawn from: a page that shows 30 days must not add up
-- the counts of 10,000 domains. Written in the same transaction as `request_counts`.
create table request_totals (
    organisation_id uuid        not null,
    -- The nil UUID: of the organisation as a whole.
    client_id       uuid        not null,
    hour            timestamptz not null,
    model_family    text        not null,
    outcome         text        not null,
    count           bigint      not null,
    constraint request_totals_pkey primary key (organisation_id, client_id, hour, model_family, outcome)
);
insert into request_totals (organisation_id, client_id, hour, model_family, outcome, count)
select organisation_id, coalesce(client_id, '00000000-0000-0000-0000-000000000000'), hour, model_family, outcome, sum(count)
  from request_counts
 where organisation_id is not null
 group by grouping sets ((organisation_id, hour, model_family, outcome), (organisation_id, client_id, hour, model_family, outcome))
having grouping(client_id) = 1 or client_id is not null;

-- The plots of one domain, also of one that was deleted and registered anew.
create index request_counts_hostname_idx on request_counts (organisation_id, hostname, hour);

-- Which certificates an organisation has, and which is due next, without their chains and keys.
create index certificates_standing_idx on certificates (organisation_id, issuer, renews_at) include (domain_id, hostname, not_after);
-- The few that can't be obtained.
create index certificate_leases_failing_idx on certificate_leases (issuer, hostname) where failure is not null;
-- The few claims that take a hostname over from another organisation.
create index domains_take_over_idx on domains (hostname) where takes_over_at is not null;
