-- Proof of a domain for discovery is no proof of its mailboxes: single sign-on for a mail domain needs its own TXT record.
-- Domains of providers that exist already keep working for 30 days. A row that a node of the version before inserts has
-- the defaults: it signs nobody in until its record is found.
alter table identity_provider_domains
    add column added_at      timestamptz not null default now(),
    -- Until then people are signed in without the record.
    add column grace_until   timestamptz,
    -- Set: the record was found, and has not been missing for too long since.
    add column proved_at     timestamptz,
    -- The last lookup that had an answer, what the answer held, and since when no answer has held our value.
    add column checked_at    timestamptz,
    add column observed      text[]      not null default '{}',
    add column missing_since timestamptz,
    -- Another name, at which the value was put by mistake.
    add column misplaced     text,
    -- When the owners and admins were sent a mail about the missing record.
    add column notified_at   timestamptz,
    -- Also the lease of a node that looks the record up.
    add column next_check_at timestamptz not null default now();
update identity_provider_domains set grace_until = now() + interval '30 days';
create index identity_provider_domains_next_check_idx on identity_provider_domains (next_check_at);

-- Only a provider has said that the person's address is theirs. Such an account is replaced when somebody proves, by a
-- link that is mailed to the address, that the mailbox is theirs.
alter table users add column is_email_unproved boolean not null default false;
update users u
   set is_email_unproved = true
 where u.password_hash is null
   and exists (select from identities i where i.user_id = u.user_id)
   and not exists (select from passkeys p where p.user_id = u.user_id);

-- Mail domains whose people a provider signs in now.
create view signing_mail_domains as
select i.identity_provider_id, p.organisation_id, i.hostname
  from identity_provider_domains i
  join identity_providers p using (identity_provider_id)
  join domains d on d.hostname = i.hostname and d.organisation_id = p.organisation_id
 where d.ownership_verified_at is not null and d.suspended_at is null
   and (i.proved_at is not null or i.grace_until > now());
