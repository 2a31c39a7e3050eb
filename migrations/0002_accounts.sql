-- Who uses Signpost: organisations (an MSP, or a company that hosts for itself), their people,
-- their clients and their API tokens.
create table organisations (
    organisation_id uuid        not null,
    name            text        not null,
    -- Keys the digest of user identifiers in the request log. Sealed. Replacing it erases the link to people.
    user_digest_key bytea       not null,
    -- Keys the TXT value that proves ownership: the same for one (organisation, hostname) for ever.
    ownership_key   bytea       not null,
    created_at      timestamptz not null default now(),
    suspended_at    timestamptz,
    constraint organisations_pkey primary key (organisation_id),
    constraint organisations_name_length check (char_length(name) between 1 and 200)
);

-- An e-mail address is personal data: sealed for sending, a keyed digest for finding.
create table users (
    user_id      uuid        not null,
    email_sealed bytea       not null,
    email_digest bytea       not null,
    created_at   timestamptz not null default now(),
    constraint users_pkey primary key (user_id),
    constraint users_email_key unique (email_digest)
);

create table memberships (
    organisation_id uuid        not null,
    user_id         uuid        not null,
    role            text        not null,
    created_at      timestamptz not null default now(),
    constraint memberships_pkey primary key (organisation_id, user_id),
    constraint memberships_organisation_fkey foreign key (organisation_id) references organisations on delete cascade,
    constraint memberships_user_fkey foreign key (user_id) references users on delete cascade,
    constraint memberships_role_known check (role in ('owner', 'admin', 'editor', 'viewer'))
);

create table clients (
    client_id       uuid        not null,
    organisation_id uuid        not null,
    name            text        not null,
    external_ref    text,
    created_at      timestamptz not null default now(),
    constraint clients_pkey primary key (client_id),
    -- Lets other tables refer to (organisation, client) together, so that a row can't name another tenant's client.
    constraint clients_organisation_client_key unique (organisation_id, client_id),
    constraint clients_organisation_fkey foreign key (organisation_id) references organisations on delete cascade,
    constraint clients_external_ref_key unique (organisation_id, external_ref),
    constraint clients_name_length check (char_length(name) between 1 and 200)
);
create unique index clients_name_key on clients (organisation_id, lower(name));

create table api_tokens (
    api_token_id    uuid        not null,
    organisation_id uuid        not null,
    client_id       uuid,
    name            text        not null,
    token_digest    bytea       not null,
    scopes          text[]      not null,
    created_at      timestamptz not null default now(),
    expires_at      timestamptz,
    last_used_at    timestamptz,
    constraint api_tokens_pkey primary key (api_token_id),
    constraint api_tokens_digest_key unique (token_digest),
    constraint api_tokens_organisation_fkey foreign key (organisation_id) references organisations on delete cascade,
    constraint api_tokens_client_fkey foreign key (organisation_id, client_id) references clients (organisation_id, client_id) on delete cascade
);
create index api_tokens_organisation_idx on api_tokens (organisation_id, api_token_id);
