-- What a person makes may outlive their session: API tokens, invitations, webhook endpoints, links to a domain's
-- instructions. Each row says who made it, and which person answers for it: the member, or the one who answers for the
-- token that made it. When that person is removed, what they answer for ends with them. Rows from before say nothing.
alter table api_tokens
    add column created_by text,
    add column created_by_id uuid,
    add column responsible_user_id uuid,
    add constraint api_tokens_created_by_known check (created_by in ('member', 'token', 'operator', 'signpost'));
create index api_tokens_responsible_idx on api_tokens (organisation_id, responsible_user_id);

alter table invitations
    add column created_by text,
    add column created_by_id uuid,
    add column responsible_user_id uuid,
    add constraint invitations_created_by_known check (created_by in ('member', 'token', 'operator', 'signpost'));
create index invitations_responsible_idx on invitations (organisation_id, responsible_user_id);

alter table webhook_endpoints
    add column created_by text,
    add column created_by_id uuid,
    add column responsible_user_id uuid,
    add constraint webhook_endpoints_created_by_known check (created_by in ('member', 'token', 'operator', 'signpost'));

alter table share_links
    add column created_by text,
    add column created_by_id uuid,
    add column responsible_user_id uuid,
    add constraint share_links_created_by_known check (created_by in ('member', 'token', 'operator', 'signpost'));
create index share_links_responsible_idx on share_links (organisation_id, responsible_user_id);
