-- Searches for a part of a hostname or of a client's name. `pg_trgm` and `btree_gin` come with PostgreSQL's contrib
-- modules and are trusted: the owner of the database may create them. Where they are missing, a search examines the list
-- in its order (docs/OPERATIONS.md says how to add them later).
do $$
begin
    create extension if not exists pg_trgm;
    create extension if not exists btree_gin;
exception when insufficient_privilege or undefined_file or feature_not_supported then
    raise notice 'no index for searches: %', sqlerrm;
end $$;
do $$
begin
    if (select count(*) from pg_extension where extname in ('pg_trgm', 'btree_gin')) = 2 then
        -- New rows wait in a list that every search reads: keep it short.
        create index domains_search_idx on domains using gin (organisation_id, client_id, hostname gin_trgm_ops)
            with (gin_pending_list_limit = 512);
        create index clients_search_idx on clients using gin (organisation_id, lower(name) gin_trgm_ops, lower(external_ref) gin_trgm_ops)
            with (gin_pending_list_limit = 512);
    end if;
end $$;
