-- The request log at ten million rows: a client's list, and lists by what was asked and answered, are read by an index
-- and never by looking through everybody's rows.
create index requests_client_idx on requests (organisation_id, client_id, request_id);

-- Counts are deleted by their age; those of single domains are found by their primary key.
create index request_totals_hour_idx on request_totals (hour);
