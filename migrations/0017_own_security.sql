-- What a person looks after alone: a second factor, passkeys, a new address.

-- A program on the person's phone that shows a code every half minute (RFC 6238).
create table second_factors (
    user_id       uuid        not null,
    -- Sealed: whoever has it makes the codes.
    secret_sealed bytea       not null,
    created_at    timestamptz not null,
    -- Null: begun, and no code was shown yet. Nothing is asked for before.
    confirmed_at  timestamptz,
    -- The half minute whose code was taken last: no code works twice.
    last_step     bigint      not null default -1,
    constraint second_factors_pkey primary key (user_id),
    constraint second_factors_user_fkey foreign key (user_id) references users on delete cascade
);

-- 80 random bits each: a plain digest is enough. A code that was used is gone.
create table recovery_codes (
    user_id     uuid  not null,
    code_digest bytea not null,
    constraint recovery_codes_pkey primary key (user_id, code_digest),
    constraint recovery_codes_user_fkey foreign key (user_id) references second_factors on delete cascade
);

-- An address that somebody wants, until the mail that is sent there is opened.
create table email_changes (
    email_change_id uuid        not null,
    user_id         uuid        not null,
    token_digest    bytea       not null,
    email_sealed    bytea       not null,
    created_at      timestamptz not null,
    expires_at      timestamptz not null,
    constraint email_changes_pkey primary key (email_change_id),
    constraint email_changes_token_key unique (token_digest),
    constraint email_changes_user_fkey foreign key (user_id) references users on delete cascade
);
create index email_changes_user_idx on email_changes (user_id, created_at);
create index email_changes_expires_idx on email_changes (expires_at);

-- WebAuthn credentials. None of it is secret: public keys and counters, as the library writes them.
create table passkeys (
    passkey_id    uuid        not null,
    user_id       uuid        not null,
    name          text        not null,
    credential_id bytea       not null,
    transports    smallint    not null,
    static_state  bytea       not null,
    dynamic_state bytea       not null,
    created_at    timestamptz not null,
    used_at       timestamptz,
    constraint passkeys_pkey primary key (passkey_id),
    constraint passkeys_credential_key unique (credential_id),
    constraint passkeys_user_fkey foreign key (user_id) references users on delete cascade,
    constraint passkeys_name_length check (char_length(name) between 1 and 200)
);
create index passkeys_user_idx on passkeys (user_id, passkey_id);

-- A challenge that was sent to a browser: answered once, by that browser, within minutes.
create table passkey_challenges (
    challenge      bytea       not null,
    -- Of the browser's cookie.
    browser_digest bytea       not null,
    -- Set: to make a passkey for this person. Null: to sign in with one.
    user_id        uuid,
    state          bytea       not null,
    created_at     timestamptz not null,
    expires_at     timestamptz not null,
    constraint passkey_challenges_pkey primary key (challenge),
    constraint passkey_challenges_user_fkey foreign key (user_id) references users on delete cascade
);
create index passkey_challenges_expires_idx on passkey_challenges (expires_at);
