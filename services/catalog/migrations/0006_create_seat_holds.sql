-- Claims to seats, one row for each that was ever asked for; millions, of which a few are HELD.
CREATE TABLE seat_holds (
    -- Chosen by the caller and its idempotency key: a confirmation names the hold alone, so the key is not (run_id, id).
    id          uuid        NOT NULL,
    run_id      uuid        NOT NULL,
    -- A pseudonym of identity's, which no row here explains.
    account_id  uuid        NOT NULL,
    state       text        NOT NULL,
    expire_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    CONSTRAINT seat_holds_pkey PRIMARY KEY (id),
    CONSTRAINT seat_holds_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs (id),
    CONSTRAINT seat_holds_state_check CHECK (state IN ('HELD', 'CONFIRMED', 'RELEASED', 'EXPIRED'))
)
-- Every row is updated once or twice.
WITH (fillfactor = 70);

-- What has run out: for the sweeper, and for a run whose seats are asked for. Small, because few holds are HELD.
CREATE INDEX seat_holds_expire_time_run_id_idx ON seat_holds (expire_time, run_id) WHERE state = 'HELD';

-- Invariant: runs.taken_seat_count is the number of the run's holds that are HELD or CONFIRMED.
-- A statement's holds are counted together, one update for each run. Who writes holds locks their runs first, in the
-- order of their ids, so that these updates never wait.
CREATE FUNCTION seat_holds_count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE runs
    SET taken_seat_count = taken_seat_count + taken.seats
    FROM (
        SELECT run_id, count(*) AS seats
        FROM new_holds
        WHERE state IN ('HELD', 'CONFIRMED')
        GROUP BY run_id
    ) AS taken
    WHERE runs.id = taken.run_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER seat_holds_count_inserted
AFTER INSERT ON seat_holds
REFERENCING NEW TABLE AS new_holds
FOR EACH STATEMENT EXECUTE FUNCTION seat_holds_count_inserted();

CREATE FUNCTION seat_holds_count_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A hold that has ended stays ended, and belongs to one run and one account for ever.
    IF EXISTS (
        SELECT FROM old_holds
        JOIN new_holds USING (id)
        WHERE (old_holds.state IN ('RELEASED', 'EXPIRED') AND new_holds.state <> old_holds.state)
           OR (old_holds.state = 'CONFIRMED' AND new_holds.state NOT IN ('CONFIRMED', 'RELEASED'))
           OR new_holds.run_id <> old_holds.run_id
           OR new_holds.account_id <> old_holds.account_id
    ) THEN
        RAISE EXCEPTION 'a seat hold moved backwards' USING ERRCODE = 'check_violation';
    END IF;

    UPDATE runs
    SET taken_seat_count = taken_seat_count - freed.seats
    FROM (
        SELECT old_holds.run_id, count(*) AS seats
        FROM old_holds
        JOIN new_holds USING (id)
        WHERE old_holds.state IN ('HELD', 'CONFIRMED') AND new_holds.state IN ('RELEASED', 'EXPIRED')
        GROUP BY old_holds.run_id
    ) AS freed
    WHERE runs.id = freed.run_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER seat_holds_count_updated
AFTER UPDATE ON seat_holds
REFERENCING OLD TABLE AS old_holds NEW TABLE AS new_holds
FOR EACH STATEMENT EXECUTE FUNCTION seat_holds_count_updated();

CREATE FUNCTION seat_holds_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a seat hold is never deleted: its id could be used twice' USING ERRCODE = 'check_violation';
END
$$;

CREATE TRIGGER seat_holds_refuse_delete
BEFORE DELETE ON seat_holds
FOR EACH STATEMENT EXECUTE FUNCTION seat_holds_refuse_delete();
