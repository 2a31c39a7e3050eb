-- Which certificate each node shows in a handshake, as it was last seen from outside. What a node holds
-- in memory is in no table: a certificate that was renewed and is not served would expire unseen.
create table served_certificates (
    node_id     uuid        not null,
    hostname    text        not null,
    -- Empty for the node's own listener; else the public address that the node asked.
    address     text        not null default '',
    -- `current`, `outdated` (another than was stored last), `expired`, `none` (no handshake for this name), `unreachable`.
    state       text        not null,
    -- SHA-256 of the leaf that was shown, and when it ends; null if none was.
    fingerprint bytea,
    not_after   timestamptz,
    checked_at  timestamptz not null,
    constraint served_certificates_pkey primary key (hostname, node_id, address),
    constraint served_certificates_state_known check (state in ('current', 'outdated', 'expired', 'none', 'unreachable'))
);

-- What was stored a moment ago is looked at first.
create index certificates_created_idx on certificates (issuer, created_at);
