-- A draw may take its randomness from a public beacon, alone or together with the secrets of trustees.
ALTER TABLE batches
    -- The least number of trustees whose secrets decide; 0 without trustees.
    ADD COLUMN quorum smallint NOT NULL DEFAULT 0,
    -- For how long after the freeze a secret counts.
    ADD COLUMN reveal_window_seconds bigint NOT NULL DEFAULT 86400,
    -- The drand chain, and how long after what must be fixed before it the round comes.
    ADD COLUMN beacon_public_key bytea,
    ADD COLUMN beacon_genesis_time bigint,
    ADD COLUMN beacon_period_seconds integer,
    ADD COLUMN beacon_lead_seconds bigint,
    -- Fixed by the freeze, as in the commitment.
    ADD COLUMN reveal_deadline timestamptz,
    -- The chain's signature of the committed round, once it is known.
    ADD COLUMN beacon_signature bytea;
UPDATE batches SET quorum = cardinality(trustees);
ALTER TABLE batches
    ADD CONSTRAINT batches_quorum_check CHECK (
        quorum BETWEEN 0 AND cardinality(trustees) AND (quorum > 0) = (cardinality(trustees) > 0)),
    ADD CONSTRAINT batches_reveal_window_seconds_check CHECK (reveal_window_seconds > 0),
    ADD CONSTRAINT batches_beacon_check CHECK (
        num_nulls(beacon_public_key, beacon_genesis_time, beacon_period_seconds, beacon_lead_seconds) IN (0, 4)),
    ADD CONSTRAINT batches_beacon_public_key_check CHECK (octet_length(beacon_public_key) = 96),
    ADD CONSTRAINT batches_randomness_check CHECK (quorum > 0 OR beacon_public_key IS NOT NULL),
    ADD CONSTRAINT batches_beacon_signature_check CHECK (
        beacon_signature IS NULL
        OR (octet_length(beacon_signature) = 48 AND beacon_public_key IS NOT NULL AND commitment IS NOT NULL));

CREATE FUNCTION guard_batch_randomness() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (new.quorum, new.reveal_window_seconds, new.beacon_public_key, new.beacon_genesis_time,
        new.beacon_period_seconds, new.beacon_lead_seconds)
           IS DISTINCT FROM
       (old.quorum, old.reveal_window_seconds, old.beacon_public_key, old.beacon_genesis_time,
        old.beacon_period_seconds, old.beacon_lead_seconds)
       OR (old.commitment IS NOT NULL AND new.reveal_deadline IS DISTINCT FROM old.reveal_deadline)
       OR (new.beacon_signature IS DISTINCT FROM old.beacon_signature
           AND (old.beacon_signature IS NOT NULL OR old.state <> 'FROZEN')) THEN
        RAISE EXCEPTION 'the randomness of batch % cannot change', old.batch_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batches_immutable';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER batches_randomness_guard BEFORE UPDATE ON batches FOR EACH ROW EXECUTE FUNCTION guard_batch_randomness();

-- A secret that comes after the deadline is as good as none: its trustee has seen the others'.
CREATE FUNCTION guard_reveal_deadline() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF new.reveal_time > (SELECT reveal_deadline FROM batches WHERE batch_id = new.batch_id) THEN
        RAISE EXCEPTION 'the deadline for the secrets has passed'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'trustee_shares_deadline';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER trustee_shares_deadline BEFORE UPDATE ON trustee_shares
    FOR EACH ROW EXECUTE FUNCTION guard_reveal_deadline();
