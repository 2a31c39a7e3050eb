-- What an organisation says of itself on the pages that share links open. One that has said nothing has no row; a table of
-- its own, because nothing of it concerns what devices are told: organisations' triggers stay out of it.
create table brandings (
    organisation_id uuid    not null,
    display_name    text,
    -- A mail address or an https URL, shown to whoever holds a link.
    contact         text,
    logo            bytea,
    logo_media_type text,
    logo_width      integer,
    logo_height     integer,
    constraint brandings_pkey primary key (organisation_id),
    constraint brandings_organisation_fkey foreign key (organisation_id) references organisations on delete cascade,
    constraint brandings_logo_size check (octet_length(logo) <= 102400),
    constraint brandings_logo_media_type check (logo_media_type in ('image/png', 'image/jpeg')),
    constraint brandings_logo_whole check (num_nonnulls(logo, logo_media_type, logo_width, logo_height) in (0, 4))
);
