-- The training institutions. Some hundred to some thousand rows, never renamed and never deleted: courses carry a copy
-- of the name for their search vector.
CREATE TABLE providers (
    id                  uuid        NOT NULL,
    display_name        text        NOT NULL,
    -- The name in its compared form (NFKC, lower case, single blanks), made by the service. Byte order, so that the
    -- order of a list does not depend on the server's locale.
    display_name_folded text        COLLATE "C" NOT NULL,
    create_time         timestamptz NOT NULL,
    CONSTRAINT providers_pkey PRIMARY KEY (id),
    -- Two spellings of one institution in a feed become one row, also when two imports run at once. Also the order of
    -- the list and its paging.
    CONSTRAINT providers_display_name_folded_key UNIQUE (display_name_folded),
    CONSTRAINT providers_display_name_check CHECK (display_name <> '' AND display_name_folded <> '')
);
