-- Two people may annul a batch that is not awarded, for a reason. Whatever was frozen and drawn is kept.
CREATE TABLE batch_annulments (
    batch_id     text        NOT NULL,
    reason       text        NOT NULL,
    propose_time timestamptz NOT NULL,
    proposer     text        NOT NULL,
    confirm_time timestamptz,
    confirmer    text,
    CONSTRAINT batch_annulments_pkey PRIMARY KEY (batch_id),
    CONSTRAINT batch_annulments_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches (batch_id),
    CONSTRAINT batch_annulments_reason_check CHECK (reason <> ''),
    CONSTRAINT batch_annulments_confirm_check CHECK ((confirmer IS NULL) = (confirm_time IS NULL)),
    CONSTRAINT batch_annulments_two_people_check CHECK (confirmer <> proposer)
);

-- A proposal is confirmed once and changes in nothing else.
CREATE FUNCTION guard_batch_annulment() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF old.confirmer IS NOT NULL
       OR (new.batch_id, new.reason, new.propose_time, new.proposer)
              IS DISTINCT FROM (old.batch_id, old.reason, old.propose_time, old.proposer) THEN
        RAISE EXCEPTION 'an annulment is confirmed once'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batch_annulments_immutable';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER batch_annulments_guard BEFORE UPDATE ON batch_annulments
    FOR EACH ROW EXECUTE FUNCTION guard_batch_annulment();
CREATE TRIGGER batch_annulments_immutable BEFORE DELETE OR TRUNCATE ON batch_annulments
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE batches
    DROP CONSTRAINT batches_state_check,
    DROP CONSTRAINT batches_freeze_check,
    DROP CONSTRAINT batches_draw_check,
    ADD CONSTRAINT batches_state_check CHECK (
        state IN ('DRAFT', 'OPEN', 'CLOSED', 'FROZEN', 'DRAWN', 'AWARDED', 'ANNULLED')),
    ADD CONSTRAINT batches_freeze_check CHECK (
        num_nulls(freeze_time, entrant_count, merkle_root, rule_set_hash, commitment, signature, public_key) IN (0, 7)
        AND CASE WHEN state IN ('FROZEN', 'DRAWN', 'AWARDED') THEN freeze_time IS NOT NULL
                 WHEN state = 'ANNULLED' THEN true
                 ELSE freeze_time IS NULL END),
    ADD CONSTRAINT batches_draw_check CHECK (
        num_nulls(draw_time, drawn_count) IN (0, 2)
        AND CASE state
            WHEN 'ANNULLED' THEN draw_time IS NULL OR freeze_time IS NOT NULL
            ELSE (draw_time IS NOT NULL) = (state IN ('DRAWN', 'AWARDED')) END);

-- As before, and ANNULLED after CLOSED, FROZEN or DRAWN once two people want it and no winner is a participant.
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
       OR new.awarded_rank < old.awarded_rank THEN
        RAISE EXCEPTION 'what is fixed of batch % cannot change', old.batch_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batches_immutable';
    END IF;
    RETURN new;
END;
$$;
