-- Rounds of applications, each with one draw.
CREATE TABLE batches (
    batch_id          text        NOT NULL,
    scheme_id         text        NOT NULL,
    state             text        NOT NULL,
    -- The places and how they are shared out, with the expressions of the reserved groups.
    quota_plan        jsonb       NOT NULL,
    -- In the order in which their secrets make the randomness.
    trustees          text[]      NOT NULL,
    create_time       timestamptz NOT NULL,
    open_time         timestamptz,
    close_time        timestamptz,
    freeze_time       timestamptz,
    draw_time         timestamptz,
    -- Set with the first chunk of winners, so that all of them have one deadline.
    award_time        timestamptz,
    entrant_count     bigint,
    merkle_root       bytea,
    rule_set_hash     bytea,
    -- The canonical commitment as it was signed, its signature and key.
    commitment        bytea,
    signature         bytea,
    public_key        bytea,
    drawn_count       bigint,
    -- Up to which rank winners have become participations: where an interrupted award goes on.
    awarded_rank      bigint      NOT NULL DEFAULT 0,
    CONSTRAINT batches_pkey PRIMARY KEY (batch_id),
    CONSTRAINT batches_scheme_id_fkey FOREIGN KEY (scheme_id) REFERENCES schemes (scheme_id),
    CONSTRAINT batches_state_check CHECK (state IN ('DRAFT', 'OPEN', 'CLOSED', 'FROZEN', 'DRAWN', 'AWARDED')),
    CONSTRAINT batches_open_check CHECK ((state = 'DRAFT') = (open_time IS NULL)),
    CONSTRAINT batches_close_check CHECK ((state IN ('DRAFT', 'OPEN')) = (close_time IS NULL)),
    CONSTRAINT batches_freeze_check CHECK (
        num_nulls(freeze_time, entrant_count, merkle_root, rule_set_hash, commitment, signature, public_key)
        = CASE WHEN state IN ('FROZEN', 'DRAWN', 'AWARDED') THEN 0 ELSE 7 END),
    CONSTRAINT batches_draw_check CHECK (
        num_nulls(draw_time, drawn_count) = CASE WHEN state IN ('DRAWN', 'AWARDED') THEN 0 ELSE 2 END),
    CONSTRAINT batches_award_check CHECK (CASE state
        WHEN 'AWARDED' THEN award_time IS NOT NULL
        WHEN 'DRAWN' THEN true
        ELSE award_time IS NULL AND awarded_rank = 0 END)
);
-- Lists, oldest first.
CREATE INDEX batches_create_time_batch_id_idx ON batches (create_time, batch_id);

-- A batch goes forward one state at a time, and what was fixed or published stays as it is: no second freeze, no second
-- draw, no other commitment, whatever the statement.
CREATE FUNCTION guard_batch() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    states constant text[] := ARRAY['DRAFT', 'OPEN', 'CLOSED', 'FROZEN', 'DRAWN', 'AWARDED'];
BEGIN
    IF new.state <> old.state
       AND array_position(states, new.state) <> array_position(states, old.state) + 1 THEN
        RAISE EXCEPTION 'a batch cannot go from % to %', old.state, new.state
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batches_transition';
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
       OR new.awarded_rank < old.awarded_rank THEN
        RAISE EXCEPTION 'what is fixed of batch % cannot change', old.batch_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batches_immutable';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER batches_guard BEFORE UPDATE ON batches FOR EACH ROW EXECUTE FUNCTION guard_batch();
CREATE TRIGGER batches_immutable BEFORE DELETE OR TRUNCATE ON batches
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The trustees' commitments, and after the freeze their secrets.
CREATE TABLE trustee_shares (
    batch_id    text        NOT NULL,
    trustee     text        NOT NULL,
    commitment  bytea       NOT NULL,
    commit_time timestamptz NOT NULL,
    secret      bytea,
    reveal_time timestamptz,
    CONSTRAINT trustee_shares_pkey PRIMARY KEY (batch_id, trustee),
    CONSTRAINT trustee_shares_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches (batch_id),
    CONSTRAINT trustee_shares_commitment_check CHECK (octet_length(commitment) = 32),
    CONSTRAINT trustee_shares_secret_check CHECK (octet_length(secret) = 32),
    CONSTRAINT trustee_shares_reveal_check CHECK ((secret IS NULL) = (reveal_time IS NULL))
);

-- A commitment binds: it cannot be replaced, given late or taken back. A secret is given once, and not before the freeze.
CREATE FUNCTION guard_trustee_share() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    batch_state text;
BEGIN
    SELECT state INTO batch_state FROM batches WHERE batch_id = new.batch_id;
    IF tg_op = 'INSERT' THEN
        IF batch_state NOT IN ('DRAFT', 'OPEN', 'CLOSED') OR new.secret IS NOT NULL THEN
            RAISE EXCEPTION 'a commitment comes before the freeze'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'trustee_shares_order';
        END IF;
    ELSIF (new.batch_id, new.trustee, new.commitment, new.commit_time)
              IS DISTINCT FROM (old.batch_id, old.trustee, old.commitment, old.commit_time)
          OR old.secret IS NOT NULL OR batch_state <> 'FROZEN' THEN
        RAISE EXCEPTION 'a trustee''s share is given once'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'trustee_shares_order';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER trustee_shares_guard BEFORE INSERT OR UPDATE ON trustee_shares
    FOR EACH ROW EXECUTE FUNCTION guard_trustee_share();
CREATE TRIGGER trustee_shares_immutable BEFORE DELETE OR TRUNCATE ON trustee_shares
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
