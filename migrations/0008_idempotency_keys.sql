-- The first answer to a POST that carried an Idempotency-Key, for 24 hours. The answer may hold a
-- token that is shown once, so it is sealed. `status` is null while the first request is at work.
create table idempotency_keys (
    api_token_id   uuid        not null,
    key            text        not null,
    request_digest bytea       not null,
    status         smallint,
    answer_sealed  bytea,
    created_at     timestamptz not null default now(),
    constraint idempotency_keys_pkey primary key (api_token_id, key),
    constraint idempotency_keys_token_fkey foreign key (api_token_id) references api_tokens on delete cascade
);
create index idempotency_keys_created_idx on idempotency_keys (created_at);
