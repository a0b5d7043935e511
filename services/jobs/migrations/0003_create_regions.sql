-- The tree of regions that locations are mapped to and searches are narrowed by; some hundred rows, never deleted.
CREATE TABLE regions (
    -- The official code, a dotted path. Byte order makes a subtree one range of the index, whatever the locale:
    -- everything below '32' lies between '32.' and '32/', because '/' follows '.'.
    code         text COLLATE "C" NOT NULL,
    -- The path without its last part, kept by the database so that no row can stand beside its branch.
    parent_code  text COLLATE "C" GENERATED ALWAYS AS (nullif(regexp_replace(code, '\.?[^.]+$', ''), '')) STORED,
    display_name text        NOT NULL,
    create_time  timestamptz NOT NULL,
    update_time  timestamptz NOT NULL,
    CONSTRAINT regions_pkey PRIMARY KEY (code),
    CONSTRAINT regions_parent_code_fkey FOREIGN KEY (parent_code) REFERENCES regions (code),
    CONSTRAINT regions_code_check CHECK (code ~ '^[0-9A-Za-z]{1,10}(\.[0-9A-Za-z]{1,10}){0,4}$'),
    CONSTRAINT regions_display_name_check CHECK (display_name <> '')
);
