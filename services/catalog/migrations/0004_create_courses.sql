-- What can be learned. Some ten thousand rows.
CREATE TABLE courses (
    id                    uuid        NOT NULL,
    provider_id           uuid        NOT NULL,
    -- A copy of the provider's name, which never changes: a generated column sees its own row alone.
    provider_display_name text        NOT NULL,
    title                 text        NOT NULL,
    -- The title in its compared form, as in providers.
    title_folded          text        COLLATE "C" NOT NULL,
    category              text        NOT NULL,
    mode                  text        NOT NULL,
    price_minor           bigint      NOT NULL,
    public_price_minor    bigint      NOT NULL,
    currency              char(3)     NOT NULL,
    -- Empty when the course has no page.
    uri                   text        NOT NULL,
    state                 text        NOT NULL,
    rating_count          bigint      NOT NULL DEFAULT 0,
    rating_sum            bigint      NOT NULL DEFAULT 0,
    create_time           timestamptz NOT NULL,
    update_time           timestamptz NOT NULL,
    -- What the search looks at: title before category before provider. The configuration is named, because a generated
    -- column may not depend on a setting of the session.
    search_vector         tsvector    NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.indonesian', title), 'A')
        || setweight(to_tsvector('pg_catalog.indonesian', category), 'B')
        || setweight(to_tsvector('pg_catalog.indonesian', provider_display_name), 'C')
    ) STORED,
    CONSTRAINT courses_pkey PRIMARY KEY (id),
    CONSTRAINT courses_provider_id_fkey FOREIGN KEY (provider_id) REFERENCES providers (id),
    -- One course of a title and mode at a provider, whoever brings it: a person or a feed. Also finds a provider's courses.
    CONSTRAINT courses_provider_id_title_folded_mode_key UNIQUE (provider_id, title_folded, mode),
    CONSTRAINT courses_title_check CHECK (title <> '' AND title_folded <> ''),
    CONSTRAINT courses_mode_check CHECK (mode IN ('SELF_PACED', 'WEBINAR', 'OFFLINE', 'BLENDED')),
    CONSTRAINT courses_state_check CHECK (state IN ('DRAFT', 'PUBLISHED', 'RETIRED')),
    -- The programme's rule: never dearer inside than outside.
    CONSTRAINT courses_price_check CHECK (price_minor >= 0 AND price_minor <= public_price_minor),
    CONSTRAINT courses_rating_check CHECK (rating_sum BETWEEN rating_count AND 5 * rating_count)
)
-- A rating touches no indexed column: room on the page keeps it off the indexes.
WITH (fillfactor = 90);

CREATE INDEX courses_search_vector_idx ON courses USING gin (search_vector);

-- Browsing a category without words, page by page.
CREATE INDEX courses_category_id_idx ON courses (category, id);
