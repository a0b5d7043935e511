-- Open positions. All adverts of one portal with the same title, company, location and salary are one vacancy.
CREATE TABLE vacancies (
    id             uuid        NOT NULL,
    portal         text        NOT NULL,
    -- SHA-256 of title, company, location and salary as they stand here; what tells vacancies of a portal apart.
    content_key    bytea       NOT NULL,
    title          text        NOT NULL,
    company        text        NOT NULL,
    -- As the portal wrote it; may be empty.
    location       text        NOT NULL,
    -- What the location was read as; null when that is unknown. A cache of a reading, renewed by every import.
    region_code    text COLLATE "C",
    -- Null together when the portal does not say.
    salary_minor   bigint,
    salary_currency char(3) COLLATE "C",
    -- Null when the portal does not say.
    expire_time    timestamptz,
    -- Adverts that the portal numbers: rows of vacancy_postings that point here.
    posting_count  bigint      NOT NULL,
    -- Adverts without a number: the most that one import has brought (see import_adverts).
    unnumbered_count bigint    NOT NULL,
    create_time    timestamptz NOT NULL,
    update_time    timestamptz NOT NULL,
    -- For the search: title before company. The configuration is named, because only then is the function immutable.
    search_words   tsvector    NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('indonesian'::regconfig, title), 'A')
            || setweight(to_tsvector('indonesian'::regconfig, company), 'B')) STORED,
    -- For recommendations: a company's name is not a skill.
    title_words    tsvector    NOT NULL GENERATED ALWAYS AS (to_tsvector('indonesian'::regconfig, title)) STORED,
    -- Version 7: the order of the ids is the order of creation, which "newest first" rests on.
    CONSTRAINT vacancies_pkey PRIMARY KEY (id),
    -- Checked at the end of a statement, because one may move several vacancies to each other's contents.
    CONSTRAINT vacancies_portal_content_key_key UNIQUE (portal, content_key) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT vacancies_region_code_fkey FOREIGN KEY (region_code) REFERENCES regions (code),
    CONSTRAINT vacancies_content_key_check CHECK (octet_length(content_key) = 32),
    CONSTRAINT vacancies_title_check CHECK (title <> ''),
    CONSTRAINT vacancies_company_check CHECK (company <> ''),
    CONSTRAINT vacancies_salary_check CHECK (
        (salary_minor IS NULL) = (salary_currency IS NULL) AND (salary_minor IS NULL OR salary_minor > 0)),
    CONSTRAINT vacancies_counts_check CHECK (posting_count >= 0 AND unnumbered_count >= 0)
);

CREATE INDEX vacancies_search_words_idx ON vacancies USING gin (search_words);
CREATE INDEX vacancies_title_words_idx ON vacancies USING gin (title_words);
-- The newest of a region and of all below it.
CREATE INDEX vacancies_region_code_id_idx ON vacancies (region_code, id);

-- The portal's own numbers of adverts, each at the vacancy that it says now.
CREATE TABLE vacancy_postings (
    portal      text NOT NULL,
    external_id text NOT NULL,
    vacancy_id  uuid NOT NULL,
    CONSTRAINT vacancy_postings_pkey PRIMARY KEY (portal, external_id),
    CONSTRAINT vacancy_postings_vacancy_id_fkey FOREIGN KEY (vacancy_id) REFERENCES vacancies (id),
    CONSTRAINT vacancy_postings_external_id_check CHECK (external_id <> '')
);

-- How many unnumbered adverts of a vacancy one import has brought so far. The vacancy's own count is the highest of
-- these over all imports: the same file tomorrow adds nothing. Rows of imports that have been idle for a week are
-- deleted; an import that goes on after that can therefore count too little, never too much.
CREATE TABLE import_adverts (
    request_id   uuid   NOT NULL,
    vacancy_id   uuid   NOT NULL,
    advert_count bigint NOT NULL,
    CONSTRAINT import_adverts_pkey PRIMARY KEY (request_id, vacancy_id),
    CONSTRAINT import_adverts_request_id_fkey FOREIGN KEY (request_id) REFERENCES imports (request_id),
    CONSTRAINT import_adverts_vacancy_id_fkey FOREIGN KEY (vacancy_id) REFERENCES vacancies (id),
    CONSTRAINT import_adverts_advert_count_check CHECK (advert_count > 0)
);
