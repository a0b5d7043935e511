-- People's wishes to take part in a batch. Neither name nor national id is here: an account and its pseudonym.
-- The state is not stored: it follows from the newest decision and from the draw, which would otherwise rewrite every row.
CREATE TABLE applications (
    application_id uuid        NOT NULL,
    batch_id       text        NOT NULL,
    account_id     uuid        NOT NULL,
    -- Keyed hash of batch and account: what the public list of entrants shows instead of the person.
    pseudonym      bytea       NOT NULL,
    -- The signature of the receipt; its other parts are those of this row.
    signature      bytea       NOT NULL,
    create_time    timestamptz NOT NULL,
    CONSTRAINT applications_pkey PRIMARY KEY (application_id),
    CONSTRAINT applications_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches (batch_id),
    -- One application a person and batch, also when two arrive at once.
    CONSTRAINT applications_batch_id_account_id_key UNIQUE (batch_id, account_id),
    CONSTRAINT applications_batch_id_pseudonym_key UNIQUE (batch_id, pseudonym),
    CONSTRAINT applications_pseudonym_check CHECK (octet_length(pseudonym) = 16),
    CONSTRAINT applications_signature_check CHECK (octet_length(signature) = 64)
);
-- Lists of a batch, and the freeze's walk through it.
CREATE INDEX applications_batch_id_application_id_idx ON applications (batch_id, application_id);
CREATE INDEX applications_account_id_application_id_idx ON applications (account_id, application_id);
CREATE TRIGGER applications_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON applications
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Decisions on eligibility, with the facts that they rest on, so that each can be made again and explained.
CREATE TABLE decisions (
    application_id uuid        NOT NULL,
    -- Which decision: 1 when applying, 2 at the freeze. The highest counts.
    stage          smallint    NOT NULL,
    batch_id       text        NOT NULL,
    eligible       boolean     NOT NULL,
    rule_set_hash  bytea       NOT NULL,
    -- Only the facts that the scheme names, by name.
    facts          jsonb       NOT NULL,
    facts_hash     bytea       NOT NULL,
    -- The reason codes of the rules that were broken.
    refusals       text[]      NOT NULL,
    -- The region of the first level as a number, the reserved groups as bits, and the household: what the draw needs.
    region         bigint      NOT NULL,
    groups         bigint      NOT NULL,
    household      bytea,
    decide_time    timestamptz NOT NULL,
    CONSTRAINT decisions_pkey PRIMARY KEY (application_id, stage),
    CONSTRAINT decisions_application_id_fkey FOREIGN KEY (application_id) REFERENCES applications (application_id),
    CONSTRAINT decisions_stage_check CHECK (stage IN (1, 2)),
    CONSTRAINT decisions_eligible_check CHECK (eligible = (cardinality(refusals) = 0)),
    CONSTRAINT decisions_region_check CHECK (region BETWEEN 0 AND 4294967295),
    CONSTRAINT decisions_groups_check CHECK (groups BETWEEN 0 AND 4294967295),
    CONSTRAINT decisions_household_check CHECK (octet_length(household) = 16)
);
-- The funnel counts by reason; the freeze takes the eligible.
CREATE INDEX decisions_batch_id_stage_idx ON decisions (batch_id, stage, eligible);

-- A decision is kept as it was made; only the freeze may make its own again, until the batch is frozen.
CREATE FUNCTION guard_decision() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF old.stage <> 2 OR NOT EXISTS (SELECT FROM batches WHERE batch_id = old.batch_id AND state = 'CLOSED') THEN
        RAISE EXCEPTION 'a decision is kept as it was made'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'decisions_immutable';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER decisions_guard BEFORE UPDATE ON decisions FOR EACH ROW EXECUTE FUNCTION guard_decision();
CREATE TRIGGER decisions_immutable BEFORE DELETE OR TRUNCATE ON decisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
