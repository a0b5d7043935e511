-- What an account is looking for, whole; one row for each account that ever said something.
CREATE TABLE interests (
    account_id  uuid        NOT NULL,
    -- As the person wrote them: up to 20, of 2 to 60 characters.
    keywords    text[]      NOT NULL,
    -- Codes of `regions`, checked when they are set; regions are never deleted.
    regions     text[]      NOT NULL,
    update_time timestamptz NOT NULL,
    CONSTRAINT interests_pkey PRIMARY KEY (account_id),
    CONSTRAINT interests_keywords_check CHECK (cardinality(keywords) <= 20),
    CONSTRAINT interests_regions_check CHECK (cardinality(regions) <= 20)
);
