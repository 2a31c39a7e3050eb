-- Single sign-on: an organisation's own OpenID provider says who somebody is. It speaks for that organisation alone.
create table identity_providers (
    identity_provider_id uuid        not null,
    organisation_id      uuid        not null,
    -- As the provider writes it: it is compared to the letter.
    issuer               text        not null,
    client_id            text        not null,
    client_secret_sealed bytea       not null,
    -- What somebody becomes who is neither a member nor invited; null: nobody joins so.
    new_member_role      text,
    created_at           timestamptz not null,
    changed_at           timestamptz not null,
    constraint identity_providers_pkey primary key (identity_provider_id),
    constraint identity_providers_organisation_key unique (organisation_id),
    -- Lets other tables refer to both together, so that a row can't name another tenant's provider.
    constraint identity_providers_organisation_provider_key unique (organisation_id, identity_provider_id),
    constraint identity_providers_organisation_fkey foreign key (organisation_id) references organisations on delete cascade,
    constraint identity_providers_new_member_role_known check (new_member_role in ('editor', 'viewer'))
);

-- The mail domains whose people it signs in. Whether the organisation has proved them is asked each time.
create table identity_provider_domains (
    identity_provider_id uuid not null,
    hostname             text not null,
    constraint identity_provider_domains_pkey primary key (identity_provider_id, hostname),
    constraint identity_provider_domains_provider_fkey foreign key (identity_provider_id) references identity_providers on delete cascade
);
create index identity_provider_domains_hostname_idx on identity_provider_domains (hostname);

-- Whom the provider means by a subject. Null: somebody who was taken out, and is not to come back by signing in.
create table identities (
    identity_provider_id uuid        not null,
    organisation_id      uuid        not null,
    subject              text        not null,
    user_id              uuid,
    created_at           timestamptz not null,
    used_at              timestamptz not null,
    constraint identities_pkey primary key (identity_provider_id, subject),
    constraint identities_provider_fkey foreign key (organisation_id, identity_provider_id) references identity_providers (organisation_id, identity_provider_id) on delete cascade,
    constraint identities_membership_fkey foreign key (organisation_id, user_id) references memberships on delete set null (user_id),
    constraint identities_subject_length check (octet_length(subject) between 1 and 255)
);
create index identities_membership_idx on identities (organisation_id, user_id);

-- Somebody who was sent to the provider, until they come back: once, with the same browser, within minutes.
create table single_sign_on_attempts (
    state_digest         bytea       not null,
    browser_digest       bytea       not null,
    identity_provider_id uuid        not null,
    -- Nonce, PKCE verifier, mail domain and where to go on, as JSON.
    sealed               bytea       not null,
    created_at           timestamptz not null,
    expires_at           timestamptz not null,
    constraint single_sign_on_attempts_pkey primary key (state_digest),
    constraint single_sign_on_attempts_provider_fkey foreign key (identity_provider_id) references identity_providers on delete cascade
);
create index single_sign_on_attempts_expires_idx on single_sign_on_attempts (expires_at);

-- Set: signed in on a provider's word alone. Such a session is for the provider's organisation and ends with the provider.
alter table sessions
    add column identity_provider_id uuid,
    add constraint sessions_identity_provider_fkey foreign key (identity_provider_id) references identity_providers on delete cascade;
create index sessions_identity_provider_idx on sessions (identity_provider_id) where identity_provider_id is not null;
