-- Protects a person's own sign-in against strangers: failed attempts are counted by who makes them, browsers in which a
-- person has signed in are recognised, sign-up mails have quotas, and a second factor can be removed after a delay.

-- Failed attempts, known address or not. Replaces `sign_in_failures`, which nodes of the previous version still use.
create table failed_attempts (
    -- Digest of what is guessed: the password of an address, or the codes of a person.
    subject  bytea       not null,
    -- `browser:<id>`, `session:<id>`, `provider:<id>`, `network:203.0.113.0/24`; `unknown`: all unknown browsers together.
    source   text        not null,
    failures integer     not null,
    last_at  timestamptz not null,
    constraint failed_attempts_pkey primary key (subject, source)
);
create index failed_attempts_last_idx on failed_attempts (last_at);

-- Browsers in which a person has signed in. The cookie's value is known to the browser only; people who share a browser
-- have a row each with the same digest.
create table known_browsers (
    known_browser_id uuid        not null,
    user_id          uuid        not null,
    token_digest     bytea       not null,
    created_at       timestamptz not null default now(),
    used_at          timestamptz not null default now(),
    expires_at       timestamptz not null,
    constraint known_browsers_pkey primary key (known_browser_id),
    constraint known_browsers_user_token_key unique (user_id, token_digest),
    constraint known_browsers_user_fkey foreign key (user_id) references users on delete cascade
);
create index known_browsers_token_idx on known_browsers (token_digest);
create index known_browsers_expires_idx on known_browsers (expires_at);

-- What quotas of sign-up mails count by. Null: written by a node of the previous version.
alter table registrations
    -- Keyed digest of the address without its `+tag`.
    add column mailbox_digest bytea,
    -- Keyed digest of the part behind the @.
    add column domain_digest  bytea,
    -- Of the browser that signed up, cut to /24 or /48.
    add column network        text;
create index registrations_mailbox_idx on registrations (mailbox_digest, created_at);
create index registrations_domain_idx on registrations (domain_digest, created_at);
create index registrations_network_idx on registrations (network, created_at);

-- Set: the person reset the password and could not use this factor. It is asked for until then, and using it clears the column.
alter table second_factors add column removal_at timestamptz;
