-- A participation is frozen while a hold stands: a rule that the person breaks now, or an operator's doubt.
ALTER TABLE participations
    -- The state behind the freeze: what it returns to. It goes on while the freeze lasts, since a purchase whose money is
    -- taken is completed, and a course that runs can be finished.
    ADD COLUMN frozen_from text,
    -- Since when; the deadline is moved by the days until it is lifted.
    ADD COLUMN freeze_time timestamptz,
    -- Who revoked for fraud, and the code of why; NULL when a deadline did.
    ADD COLUMN revoked_by text,
    ADD COLUMN revoke_reason text,
    DROP CONSTRAINT participations_state_check,
    ADD CONSTRAINT participations_state_check
        CHECK (state IN ('AWARDED', 'ACTIVE', 'COMPLETED', 'FROZEN', 'REVOKED')),
    ADD CONSTRAINT participations_frozen_from_check CHECK (frozen_from IN ('AWARDED', 'ACTIVE', 'COMPLETED')),
    ADD CONSTRAINT participations_freeze_check CHECK (
        num_nulls(frozen_from, freeze_time) = CASE WHEN state = 'FROZEN' THEN 0 ELSE 2 END),
    ADD CONSTRAINT participations_revoker_check CHECK (
        (revoked_by IS NULL) = (revoke_reason IS NULL) AND (revoked_by IS NULL OR state = 'REVOKED'));

-- AWARDED, ACTIVE, COMPLETED, in this order. Each can be frozen, and returns to what is behind the freeze, which itself
-- goes on in the same order. A missed deadline revokes AWARDED, fraud revokes FROZEN, and nothing comes after it.
CREATE OR REPLACE FUNCTION guard_participation() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (CASE
           WHEN old.state = 'FROZEN' AND new.state = 'FROZEN' THEN
               (old.frozen_from, new.frozen_from) NOT IN
                   (('AWARDED', 'AWARDED'), ('ACTIVE', 'ACTIVE'), ('COMPLETED', 'COMPLETED'),
                    ('AWARDED', 'ACTIVE'), ('ACTIVE', 'COMPLETED'))
           WHEN old.state = 'FROZEN' THEN new.state NOT IN (old.frozen_from, 'REVOKED')
           WHEN new.state = 'FROZEN' THEN new.frozen_from IS DISTINCT FROM old.state
           ELSE new.state <> old.state AND (old.state, new.state) NOT IN
               (('AWARDED', 'ACTIVE'), ('ACTIVE', 'COMPLETED'), ('AWARDED', 'REVOKED'))
       END) THEN
        RAISE EXCEPTION 'a participation cannot go from % to %', old.state, new.state
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'participations_transition';
    END IF;
    RETURN new;
END;
$$;
DROP TRIGGER participations_guard ON participations;
CREATE TRIGGER participations_guard BEFORE UPDATE OF state, frozen_from ON participations
    FOR EACH ROW EXECUTE FUNCTION guard_participation();

-- Why participations are frozen, and who froze and freed them. Kept for ever.
CREATE TABLE participation_holds (
    participation_id uuid        NOT NULL,
    hold_id          uuid        NOT NULL,
    -- RULES: the person breaks this rule of the scheme; placed and lifted by the service. OPERATOR: placed by a call.
    kind             text        NOT NULL,
    reason           text        NOT NULL,
    -- The names of accounts and service accounts.
    place_time       timestamptz NOT NULL,
    placed_by        text        NOT NULL,
    lift_time        timestamptz,
    lifted_by        text,
    -- What an operator gave as the reason; of a rule that is kept again there is nothing to say.
    lift_reason      text,
    CONSTRAINT participation_holds_pkey PRIMARY KEY (participation_id, hold_id),
    CONSTRAINT participation_holds_participation_id_fkey FOREIGN KEY (participation_id)
        REFERENCES participations (participation_id),
    CONSTRAINT participation_holds_kind_check CHECK (kind IN ('RULES', 'OPERATOR')),
    CONSTRAINT participation_holds_lift_check CHECK (
        (lift_time IS NULL) = (lifted_by IS NULL) AND (lift_reason IS NULL OR lift_time IS NOT NULL))
);
-- One hold a reason; also the answer to whether a participation has any.
CREATE UNIQUE INDEX participation_holds_standing_key ON participation_holds (participation_id, kind, reason)
    WHERE lift_time IS NULL;

-- A hold is placed once and lifted once.
CREATE FUNCTION guard_participation_hold() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF old.lift_time IS NOT NULL
       OR (new.participation_id, new.hold_id, new.kind, new.reason, new.place_time, new.placed_by)
          IS DISTINCT FROM
          (old.participation_id, old.hold_id, old.kind, old.reason, old.place_time, old.placed_by) THEN
        RAISE EXCEPTION 'a hold is placed once and lifted once'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'participation_holds_immutable';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER participation_holds_guard BEFORE UPDATE ON participation_holds
    FOR EACH ROW EXECUTE FUNCTION guard_participation_hold();
CREATE TRIGGER participation_holds_immutable BEFORE DELETE OR TRUNCATE ON participation_holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- At commit a participation is frozen exactly when a hold stands; a revoked one keeps those that it ended with.
CREATE FUNCTION check_participation_holds() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    present_state text;
BEGIN
    SELECT state INTO present_state FROM participations WHERE participation_id = new.participation_id;
    IF present_state <> 'REVOKED'
       AND (present_state = 'FROZEN') <> EXISTS (
           SELECT FROM participation_holds WHERE participation_id = new.participation_id AND lift_time IS NULL) THEN
        RAISE EXCEPTION 'participation % is % against its holds', new.participation_id, present_state
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'participations_holds';
    END IF;
    RETURN NULL;
END;
$$;
CREATE CONSTRAINT TRIGGER participation_holds_state AFTER INSERT OR UPDATE ON participation_holds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_participation_holds();
CREATE CONSTRAINT TRIGGER participations_holds AFTER UPDATE OF state ON participations
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((old.state = 'FROZEN') <> (new.state = 'FROZEN')) EXECUTE FUNCTION check_participation_holds();

-- Participations whose persons' facts may have changed: the scheme's rules are to be applied to them again.
CREATE TABLE rechecks (
    participation_id  uuid        NOT NULL,
    -- Another one with each mark: who applied the rules to older facts finds that his mark is gone.
    mark_id           uuid        NOT NULL,
    -- Who takes marks up moves this ahead; after that time another one may.
    next_attempt_time timestamptz NOT NULL,
    CONSTRAINT rechecks_pkey PRIMARY KEY (participation_id),
    CONSTRAINT rechecks_participation_id_fkey FOREIGN KEY (participation_id)
        REFERENCES participations (participation_id)
);
CREATE INDEX rechecks_next_attempt_time_idx ON rechecks (next_attempt_time);
