-- People who sign in: passwords, sessions, what each may do, and how they come to be. Addresses and names
-- are personal data: sealed for showing and sending, a keyed digest for finding.
alter table users
    add column name_sealed   bytea,
    -- Argon2id as a PHC string; null: this person signs in another way, or not yet.
    add column password_hash text;

-- A member who is limited to one client sees nothing else, and administers nothing.
alter table memberships
    add column client_id uuid,
    add constraint memberships_client_fkey foreign key (organisation_id, client_id) references clients (organisation_id, client_id) on delete cascade,
    add constraint memberships_client_role check (client_id is null or role in ('editor', 'viewer'));
create index memberships_user_idx on memberships (user_id);

-- Who has signed up and not confirmed the address yet. Nothing exists for them before they do.
create table registrations (
    registration_id uuid        not null,
    token_digest    bytea       not null,
    -- Of a cookie: the browser that signed up need not be asked again.
    browser_digest  bytea       not null,
    email_digest    bytea       not null,
    -- Organisation, name, address and password hash, as JSON.
    sealed          bytea       not null,
    created_at      timestamptz not null,
    expires_at      timestamptz not null,
    constraint registrations_pkey primary key (registration_id),
    constraint registrations_token_key unique (token_digest)
);
create index registrations_email_idx on registrations (email_digest, created_at);
create index registrations_expires_idx on registrations (expires_at);

-- One browser that is signed in. The cookie's value is known to the browser only.
create table sessions (
    session_id       uuid        not null,
    user_id          uuid        not null,
    organisation_id  uuid        not null,
    token_digest     bytea       not null,
    created_at       timestamptz not null,
    seen_at          timestamptz not null,
    expires_at       timestamptz not null,
    -- Null: the password was right, and a second factor is still awaited. Nothing may be done yet.
    authenticated_at timestamptz,
    -- "Firefox on macOS", and the network cut to /24 or /48: enough to know one's own again.
    browser          text        not null,
    network          text,
    constraint sessions_pkey primary key (session_id),
    constraint sessions_token_key unique (token_digest),
    constraint sessions_membership_fkey foreign key (organisation_id, user_id) references memberships on delete cascade
);
create index sessions_user_idx on sessions (user_id, session_id);
create index sessions_expires_idx on sessions (expires_at);

-- Links that are sent by mail and work once.
create table mail_links (
    mail_link_id uuid        not null,
    user_id      uuid        not null,
    token_digest bytea       not null,
    -- `password`: whoever opens it may set a new one.
    purpose      text        not null,
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    constraint mail_links_pkey primary key (mail_link_id),
    constraint mail_links_token_key unique (token_digest),
    constraint mail_links_user_fkey foreign key (user_id) references users on delete cascade,
    constraint mail_links_purpose_known check (purpose in ('password'))
);
create index mail_links_user_idx on mail_links (user_id, created_at);
create index mail_links_expires_idx on mail_links (expires_at);

create table invitations (
    invitation_id   uuid        not null,
    organisation_id uuid        not null,
    client_id       uuid,
    role            text        not null,
    email_sealed    bytea       not null,
    email_digest    bytea       not null,
    token_digest    bytea       not null,
    created_at      timestamptz not null,
    expires_at      timestamptz not null,
    constraint invitations_pkey primary key (invitation_id),
    constraint invitations_token_key unique (token_digest),
    constraint invitations_email_key unique (organisation_id, email_digest),
    constraint invitations_organisation_fkey foreign key (organisation_id) references organisations on delete cascade,
    constraint invitations_client_fkey foreign key (organisation_id, client_id) references clients (organisation_id, client_id) on delete cascade,
    constraint invitations_role_known check (role in ('owner', 'admin', 'editor', 'viewer')),
    constraint invitations_client_role check (client_id is null or role in ('editor', 'viewer'))
);

-- Failed sign-ins by address, known or not: whoever guesses learns nothing and waits longer each time.
create table sign_in_failures (
    email_digest bytea       not null,
    failures     integer     not null,
    last_at      timestamptz not null,
    constraint sign_in_failures_pkey primary key (email_digest)
);
create index sign_in_failures_last_idx on sign_in_failures (last_at);

-- A mail is sealed: it has an address in it, and often a link that is a key. Each row is claimed by lease.
alter table outbox
    add column sealed      bytea,
    add column due_at      timestamptz not null default now(),
    add column lease_until timestamptz not null default '-infinity',
    add column attempts    integer     not null default 0,
    add column last_error  text,
    add column given_up_at timestamptz,
    alter column payload set default '{}';
drop index outbox_unsent_idx;
create index outbox_due_idx on outbox (due_at) where sent_at is null and given_up_at is null;
create index outbox_created_idx on outbox (created_at);
