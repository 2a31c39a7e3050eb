-- Each worker of a node writes a segment of its own, so that several are under way at once: how far each was shipped.
-- What stands in `spool_positions` is the floor: segments before it are done and deleted.
create table spool_segments (
    spool_id uuid   not null,
    segment  bigint not null,
    position bigint not null,
    constraint spool_segments_pkey primary key (spool_id, segment),
    constraint spool_segments_spool_fkey foreign key (spool_id) references spool_positions on delete cascade
);
