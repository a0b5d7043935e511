-- Who is in a draw: written once, at the freeze, in the order of the pseudonyms that the commitment covers.
-- Millions of rows at once, therefore no foreign keys here: the rows are selected from the tables that they would point
-- to, which nobody can change, and the signed root covers each of them.
CREATE TABLE entrants (
    batch_id        text     NOT NULL,
    pseudonym       bytea    NOT NULL,
    region          bigint   NOT NULL,
    groups          bigint   NOT NULL,
    household       bytea,
    -- Members of the household who were recipients already.
    household_prior smallint NOT NULL,
    CONSTRAINT entrants_pkey PRIMARY KEY (batch_id, pseudonym),
    CONSTRAINT entrants_household_prior_check CHECK (
        household_prior BETWEEN 0 AND 255 AND (household IS NOT NULL OR household_prior = 0))
);
CREATE TRIGGER entrants_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON entrants
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the draw said of each entrant. The primary key refuses a second result, the trigger any other one.
CREATE TABLE draw_results (
    batch_id  text     NOT NULL,
    pseudonym bytea    NOT NULL,
    -- The position in the order of the draw, from 1.
    rank      bigint   NOT NULL,
    -- As in the public bundle: 0 not drawn, 1 household limit, 2 general pool, 3 region, 128 + i reserved group i.
    outcome   smallint NOT NULL,
    won       boolean  NOT NULL GENERATED ALWAYS AS (outcome >= 2) STORED,
    CONSTRAINT draw_results_pkey PRIMARY KEY (batch_id, pseudonym),
    CONSTRAINT draw_results_rank_check CHECK (rank >= 1),
    CONSTRAINT draw_results_outcome_check CHECK (outcome BETWEEN 0 AND 3 OR outcome BETWEEN 128 AND 159)
);
-- The award goes through the winners by rank.
CREATE INDEX draw_results_batch_id_rank_idx ON draw_results (batch_id, rank) WHERE won;
CREATE TRIGGER draw_results_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON draw_results
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Results are of a frozen batch: none can be added before the commitment or after the draw.
CREATE FUNCTION guard_draw_results() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM batches
               WHERE batch_id IN (SELECT DISTINCT batch_id FROM added) AND state <> 'FROZEN') THEN
        RAISE EXCEPTION 'a draw is of a frozen batch'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'draw_results_order';
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER draw_results_guard AFTER INSERT ON draw_results
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_draw_results();
