-- Secrets that the whole installation shares, each sealed under a key of the secret key file.
-- `sealing_keys` remembers which keys were ever in force, so that a lost or wrong key file is
-- noticed at start and not when the first private key fails to open.
create table sealing_keys (
    key_id     bytea       not null,
    created_at timestamptz not null default now(),
    constraint sealing_keys_pkey primary key (key_id)
);

create table secrets (
    name   text  not null,
    sealed bytea not null,
    constraint secrets_pkey primary key (name)
);
