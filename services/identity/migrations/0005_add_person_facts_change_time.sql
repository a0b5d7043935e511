-- The version of what is known of a person: other services keep it beside what they decided, and decide again when it is
-- another one. Later than the one before for each change, whatever the clocks of the replicas say.
ALTER TABLE persons ADD COLUMN facts_change_time timestamptz;

UPDATE persons SET facts_change_time = coalesce(verify_time, submit_time);

ALTER TABLE persons ALTER COLUMN facts_change_time SET NOT NULL;

-- A trigger, so that no writer can forget it, least of all a replica of the release before this one. A submission brings
-- its submit_time and an answer of the registry its verify_time, so that the time is the service's and not the database's.
-- What an exclusion list changes is not in this row: whoever changes the list sets the column.
CREATE FUNCTION persons_set_facts_change_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- On INSERT there is no OLD, and greatest() ignores NULL.
    NEW.facts_change_time := greatest(
        coalesce(NEW.verify_time, NEW.submit_time),
        OLD.facts_change_time + interval '1 microsecond'
    );
    RETURN NEW;
END
$$;

CREATE TRIGGER persons_set_facts_change_time
BEFORE INSERT OR UPDATE OF state, sealed_facts, household ON persons
FOR EACH ROW EXECUTE FUNCTION persons_set_facts_change_time();

-- For reading the changes since a time in pages; many persons may share one time, and the key tells them apart.
CREATE INDEX persons_facts_change_time_account_id_idx ON persons (facts_change_time, account_id);
