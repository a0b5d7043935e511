-- Lists of people whom rules may exclude, kept by other offices and given in snapshots.
CREATE TABLE exclusion_lists (
    -- Chosen by who creates it. The fact that rules refer to is made of it, so it never changes.
    id text NOT NULL,
    display_name text NOT NULL,
    source text NOT NULL,
    -- The newest snapshot that took effect, and when; NULL before the first one.
    snapshot_date date,
    import_time timestamptz,
    -- How many entries the list has: counting them would read millions of rows.
    entry_count bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    CONSTRAINT exclusion_lists_pkey PRIMARY KEY (id),
    CONSTRAINT exclusion_lists_id_check CHECK (id ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' AND length(id) <= 40),
    CONSTRAINT exclusion_lists_display_name_check CHECK (display_name <> ''),
    CONSTRAINT exclusion_lists_source_check CHECK (source <> ''),
    CONSTRAINT exclusion_lists_entry_count_check CHECK (entry_count >= 0),
    CONSTRAINT exclusion_lists_import_time_check CHECK ((snapshot_date IS NULL) = (import_time IS NULL))
);

-- Whom the lists name, whether or not the programme knows them. Written by whole snapshots alone, under the lock of the
-- list's row, which stands for the foreign key that would cost a look at the list for each of millions of rows.
CREATE TABLE exclusion_entries (
    list_id text NOT NULL,
    -- HMAC-SHA-256 of the national id under the match key, as in `persons`.
    national_id_hash bytea NOT NULL,
    -- The snapshot that put it on the list. Later ones that name it again leave the row alone: most of a list stays.
    snapshot_date date NOT NULL,
    -- The list first, so that a snapshot reads one list in the order of the hashes. A person is looked up with one probe
    -- for each list, of which there are few.
    CONSTRAINT exclusion_entries_pkey PRIMARY KEY (list_id, national_id_hash),
    CONSTRAINT exclusion_entries_national_id_hash_check CHECK (octet_length(national_id_hash) = 32)
);
