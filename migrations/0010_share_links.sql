-- Links that show one domain's steps and state to somebody without an account. A link's token is shown
-- once; only its digest is kept, and it is what a link is found by.
create table share_links (
    share_link_id   uuid        not null,
    organisation_id uuid        not null,
    client_id       uuid        not null,
    domain_id       uuid        not null,
    token_digest    bytea       not null,
    created_at      timestamptz not null,
    expires_at      timestamptz not null,
    constraint share_links_pkey primary key (share_link_id),
    constraint share_links_token_key unique (token_digest),
    constraint share_links_client_fkey foreign key (organisation_id, client_id) references clients (organisation_id, client_id),
    constraint share_links_domain_fkey foreign key (client_id, domain_id) references domains (client_id, domain_id) on delete cascade
);
create index share_links_domain_idx on share_links (domain_id, share_link_id);
