-- What is served: the MDM servers of a client, and the hostnames that lead devices to them.
create table mdm_servers (
    mdm_server_id   uuid        not null,
    organisation_id uuid        not null,
    client_id       uuid        not null,
    name            text        not null,
    vendor          text        not null,
    enrollment      text        not null,
    parameters      jsonb       not null,
    created_at      timestamptz not null default now(),
    constraint mdm_servers_pkey primary key (mdm_server_id),
    constraint mdm_servers_client_server_key unique (client_id, mdm_server_id),
    constraint mdm_servers_client_fkey foreign key (organisation_id, client_id) references clients (organisation_id, client_id),
    constraint mdm_servers_name_length check (char_length(name) between 1 and 200),
    constraint mdm_servers_enrollment_known check (enrollment in ('byod', 'adde'))
);
create index mdm_servers_organisation_idx on mdm_servers (organisation_id, mdm_server_id);

create table domains (
    domain_id             uuid        not null,
    organisation_id       uuid        not null,
    client_id             uuid        not null,
    hostname              text        not null,
    connection            text        not null,
    website_url           text,
    policy                jsonb       not null,
    ownership_verified_at timestamptz,
    suspended_at          timestamptz,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint domains_pkey primary key (domain_id),
    constraint domains_hostname_key unique (hostname),
    constraint domains_client_domain_key unique (client_id, domain_id),
    constraint domains_client_fkey foreign key (organisation_id, client_id) references clients (organisation_id, client_id),
    constraint domains_connection_known check (connection in ('direct', 'redirect', 'proxy'))
);
create index domains_organisation_idx on domains (organisation_id, domain_id);
create index domains_client_idx on domains (client_id, domain_id);

-- Which MDM servers a domain's policy names, so that one in use can't be deleted and a changed one
-- finds its domains. Both must belong to one client.
create table policy_servers (
    domain_id     uuid not null,
    mdm_server_id uuid not null,
    client_id     uuid not null,
    constraint policy_servers_pkey primary key (domain_id, mdm_server_id),
    constraint policy_servers_domain_fkey foreign key (client_id, domain_id) references domains (client_id, domain_id) on delete cascade,
    constraint policy_servers_server_fkey foreign key (client_id, mdm_server_id) references mdm_servers (client_id, mdm_server_id)
);
create index policy_servers_server_idx on policy_servers (mdm_server_id);
