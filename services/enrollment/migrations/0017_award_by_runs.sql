-- An award reads the winners from the runs, in their order, instead of rows of their own: writing 800,000 of those cost a
-- draw a third of its time. And participations keep four indexes of seven, which cost the award most of its time.
DO $$
BEGIN
    IF EXISTS (SELECT FROM batches WHERE state = 'DRAWN' AND award_time IS NOT NULL) THEN
        RAISE EXCEPTION 'an award was interrupted; finish it with the earlier version first';
    END IF;
END;
$$;
DROP TABLE draw_winners;

-- How many winners the award has come past.
ALTER TABLE batches RENAME COLUMN awarded_rank TO awarded_count;
ALTER TABLE batches
    -- The first pseudonym of the last run whose winners are awarded: where an interrupted award goes on.
    ADD COLUMN awarded_run bytea NOT NULL DEFAULT '';

-- As before, with the new columns.
CREATE OR REPLACE FUNCTION guard_batch() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    states constant text[] := ARRAY['DRAFT', 'OPEN', 'CLOSED', 'FROZEN', 'DRAWN', 'AWARDED'];
BEGIN
    IF new.state <> old.state THEN
        IF new.state = 'ANNULLED' THEN
            IF old.state NOT IN ('CLOSED', 'FROZEN', 'DRAWN') OR old.award_time IS NOT NULL
               OR NOT EXISTS (SELECT FROM batch_annulments
                              WHERE batch_id = new.batch_id AND confirmer IS NOT NULL) THEN
                RAISE EXCEPTION 'batch % cannot be annulled', old.batch_id
                    USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batches_transition';
            END IF;
        ELSIF array_position(states, new.state) IS DISTINCT FROM array_position(states, old.state) + 1 THEN
            RAISE EXCEPTION 'a batch cannot go from % to %', old.state, new.state
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batches_transition';
        END IF;
    END IF;
    IF (new.scheme_id, new.quota_plan, new.trustees, new.create_time)
           IS DISTINCT FROM (old.scheme_id, old.quota_plan, old.trustees, old.create_time)
       OR (old.commitment IS NOT NULL
           AND (new.commitment, new.signature, new.public_key, new.entrant_count, new.merkle_root, new.freeze_time)
               IS DISTINCT FROM
               (old.commitment, old.signature, old.public_key, old.entrant_count, old.merkle_root, old.freeze_time))
       OR (old.draw_time IS NOT NULL
           AND (new.draw_time, new.drawn_count) IS DISTINCT FROM (old.draw_time, old.drawn_count))
       OR (old.award_time IS NOT NULL AND new.award_time IS DISTINCT FROM old.award_time)
       OR (new.state = 'ANNULLED' AND (new.commitment, new.draw_time, new.award_time)
               IS DISTINCT FROM (old.commitment, old.draw_time, old.award_time))
       OR new.awarded_count < old.awarded_count OR new.awarded_run < old.awarded_run THEN
        RAISE EXCEPTION 'what is fixed of batch % cannot change', old.batch_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batches_immutable';
    END IF;
    RETURN new;
END;
$$;

ALTER TABLE participations DROP CONSTRAINT participations_application_id_key;
DROP INDEX participations_programme_account_id_key;
DROP INDEX participations_account_id_participation_id_idx;
DROP INDEX participations_programme_household_idx;
-- Once in a lifetime, across the batches and schemes of a programme, where the scheme says so; a revocation does not free
-- it. Elsewhere once in a batch. So an application, of which an account has one in a batch, makes one participation. It
-- also finds an account's participations.
CREATE UNIQUE INDEX participations_account_id_key ON participations
    (account_id, once_only, (CASE WHEN once_only THEN programme ELSE batch_id END));
