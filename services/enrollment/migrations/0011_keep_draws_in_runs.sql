-- The list of a draw and its results, in runs of entrants, in the order of the pseudonyms, as the bytes of the public
-- bundle. A row per entrant cost twenty times the time and four times the space for millions of rows that are written
-- once, read as a whole, and looked up by pseudonym alone.
DO $$
BEGIN
    IF EXISTS (SELECT FROM entrants) THEN
        RAISE EXCEPTION 'a batch was frozen in the earlier form, which nothing reads any more';
    END IF;
END;
$$;
DROP TABLE draw_results;
DROP TABLE entrants;
DROP FUNCTION guard_draw_results();

CREATE TABLE entrant_runs (
    batch_id        text    NOT NULL,
    first_pseudonym bytea   NOT NULL,
    entrant_count   integer NOT NULL,
    -- The public records, one after the other.
    records         bytea   NOT NULL,
    -- For the award, of each entrant in the same order: 16 bytes of the application, 16 of the account, and the region as
    -- its path and a line feed.
    application_ids bytea   NOT NULL,
    account_ids     bytea   NOT NULL,
    regions         text    NOT NULL,
    CONSTRAINT entrant_runs_pkey PRIMARY KEY (batch_id, first_pseudonym),
    CONSTRAINT entrant_runs_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches (batch_id),
    CONSTRAINT entrant_runs_first_pseudonym_check CHECK (first_pseudonym = substr(records, 1, 16)),
    CONSTRAINT entrant_runs_entrant_count_check CHECK (
        entrant_count > 0
        AND octet_length(application_ids) = 16 * entrant_count
        AND octet_length(account_ids) = 16 * entrant_count)
);
-- Random bytes: trying to compress them is wasted.
ALTER TABLE entrant_runs
    ALTER COLUMN records SET STORAGE EXTERNAL,
    ALTER COLUMN application_ids SET STORAGE EXTERNAL,
    ALTER COLUMN account_ids SET STORAGE EXTERNAL;
CREATE TRIGGER entrant_runs_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON entrant_runs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A list is of a closed batch: nobody is added after the commitment to it.
CREATE FUNCTION guard_entrant_runs() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM batches
               WHERE batch_id IN (SELECT DISTINCT batch_id FROM added) AND state <> 'CLOSED') THEN
        RAISE EXCEPTION 'a list is of a closed batch'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entrant_runs_order';
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER entrant_runs_guard AFTER INSERT ON entrant_runs
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_entrant_runs();

-- What the draw said of the entrants of a run. The primary key refuses a second result, the trigger any other one.
CREATE TABLE result_runs (
    batch_id        text  NOT NULL,
    first_pseudonym bytea NOT NULL,
    -- Five bytes of each entrant, in the order of the run: the rank, from 1, and the outcome's code.
    outcomes        bytea NOT NULL,
    CONSTRAINT result_runs_pkey PRIMARY KEY (batch_id, first_pseudonym),
    CONSTRAINT result_runs_batch_id_first_pseudonym_fkey FOREIGN KEY (batch_id, first_pseudonym)
        REFERENCES entrant_runs (batch_id, first_pseudonym)
);
ALTER TABLE result_runs ALTER COLUMN outcomes SET STORAGE EXTERNAL;
CREATE TRIGGER result_runs_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON result_runs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The winners by rank, for the award. Hundreds of thousands of rows at once, therefore no foreign keys: they come from
-- the runs, which nobody can change.
CREATE TABLE draw_winners (
    batch_id       text   NOT NULL,
    rank           bigint NOT NULL,
    application_id uuid   NOT NULL,
    account_id     uuid   NOT NULL,
    region         text   NOT NULL,
    household      bytea,
    CONSTRAINT draw_winners_pkey PRIMARY KEY (batch_id, rank)
);
CREATE TRIGGER draw_winners_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON draw_winners
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Results are of a frozen batch: none can be added before the commitment or after the draw.
CREATE FUNCTION guard_draw() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM batches
               WHERE batch_id IN (SELECT DISTINCT batch_id FROM added) AND state <> 'FROZEN') THEN
        RAISE EXCEPTION 'a draw is of a frozen batch'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = tg_table_name || '_order';
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER result_runs_guard AFTER INSERT ON result_runs
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_draw();
CREATE TRIGGER draw_winners_guard AFTER INSERT ON draw_winners
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION guard_draw();

-- An award writes hundreds of thousands of participations, and these checks cost it more than half of its time. Its rows
-- come from draw_winners, which no statement can change, and neither batches nor applications can be deleted.
ALTER TABLE participations
    DROP CONSTRAINT participations_batch_id_fkey,
    DROP CONSTRAINT participations_application_id_fkey;

-- A freeze decides again on those whose facts are others than those of their decision, which the facts' version tells.
ALTER TABLE decisions
    -- identity's facts_change_time; NULL for a person of whom it knew nothing.
    ADD COLUMN facts_change_time timestamptz,
    -- The exclusion lists among the facts, each with the time of its newest snapshot.
    ADD COLUMN list_snapshots jsonb NOT NULL DEFAULT '{}',
    -- For the self-test of the draw, as in the public list: 0 unknown, 1 female, 2 male; 0 unknown, then bands of ages.
    ADD COLUMN sex smallint NOT NULL DEFAULT 0,
    ADD COLUMN age_band smallint NOT NULL DEFAULT 0,
    ADD CONSTRAINT decisions_sex_check CHECK (sex BETWEEN 0 AND 2),
    ADD CONSTRAINT decisions_age_band_check CHECK (age_band BETWEEN 0 AND 15);
