-- Who may look at all organisations in the console, and stop service for one. Given and taken at the command line only.
alter table users add column operator_since timestamptz;
create index users_operator_idx on users (operator_since) where operator_since is not null;
