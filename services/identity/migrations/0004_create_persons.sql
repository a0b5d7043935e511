-- The human being behind an account. One row per account; a corrected submission overwrites the contradicted one.
-- What the person said of themselves and what the registry knows is encrypted under a key of the person's own.
CREATE TABLE persons (
    account_id uuid NOT NULL,
    state text NOT NULL,
    -- Counts the submissions. An answer of the registry is taken for the submission that it was asked about, and for no
    -- later one.
    submission_number integer NOT NULL,
    -- HMAC-SHA-256 of the national id under the match key: it can be compared and not be read back.
    national_id_hash bytea NOT NULL,
    -- Encrypted: national id, household id, name and date of birth as submitted.
    sealed_identity bytea NOT NULL,
    -- Encrypted: what other services may know of the person (date of birth for the age, sex, occupation, region …).
    sealed_facts bytea NOT NULL,
    -- The pseudonym of the household as the registry has it; NULL until verified, and where there are no households.
    household bytea,
    -- The names of the fields that the registry contradicts, never their values.
    mismatch_fields text[] NOT NULL,
    submit_time timestamptz NOT NULL,
    verify_time timestamptz,
    -- How often the registry gave no answer about this submission; the delay before the next attempt grows with it.
    attempt_count integer NOT NULL,
    -- When the registry may be asked. Moving it ahead is the lease of the worker that asks; if the worker dies, the
    -- lease runs out.
    next_attempt_time timestamptz,
    CONSTRAINT persons_pkey PRIMARY KEY (account_id),
    CONSTRAINT persons_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts (id),
    CONSTRAINT persons_state_check CHECK (state IN ('PENDING', 'VERIFIED', 'MISMATCHED')),
    CONSTRAINT persons_submission_number_check CHECK (submission_number > 0),
    CONSTRAINT persons_national_id_hash_check CHECK (octet_length(national_id_hash) = 32),
    CONSTRAINT persons_household_check CHECK (octet_length(household) = 16),
    CONSTRAINT persons_mismatch_fields_check CHECK ((state = 'MISMATCHED') = (cardinality(mismatch_fields) > 0)),
    CONSTRAINT persons_verify_time_check CHECK ((state = 'PENDING') = (verify_time IS NULL)),
    CONSTRAINT persons_next_attempt_time_check CHECK ((state = 'PENDING') = (next_attempt_time IS NOT NULL))
);

-- One national id, one account. A contradicted submission holds nothing: who typed a digit wrong must not lock out the
-- person whose number it is.
CREATE UNIQUE INDEX persons_national_id_hash_key ON persons (national_id_hash) WHERE state IN ('PENDING', 'VERIFIED');

-- For the worker that claims the persons to be asked about; holds the waiting ones alone.
CREATE INDEX persons_next_attempt_time_idx ON persons (next_attempt_time) WHERE state = 'PENDING';

-- The key that a person's row is encrypted under, itself encrypted by the master key. A table of its own, because
-- destroying the row here makes the person's data unreadable for ever, in every copy of `persons`.
CREATE TABLE person_keys (
    account_id uuid NOT NULL,
    wrapped_key bytea NOT NULL,
    CONSTRAINT person_keys_pkey PRIMARY KEY (account_id),
    CONSTRAINT person_keys_account_id_fkey FOREIGN KEY (account_id) REFERENCES persons (account_id)
);
