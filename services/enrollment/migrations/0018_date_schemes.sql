-- The schemes of a programme follow one another: each has its time, and no two have a moment in common.
CREATE EXTENSION IF NOT EXISTS btree_gist;

DROP TRIGGER schemes_immutable ON schemes;
ALTER TABLE schemes
    -- When batches of the scheme open: from the beginning of its first day to the end of its last, where the scheme's days
    -- end.
    ADD COLUMN period tstzrange;

-- Schemes had no dates: each was in force until the next was loaded, and a batch of an earlier one that is still DRAFT can
-- be opened no more.
UPDATE schemes
SET period = tstzrange(earlier.since, earlier.until)
FROM (SELECT scheme_id, CASE row_number() OVER loading WHEN 1 THEN NULL ELSE create_time END AS since,
             lead(create_time) OVER loading AS until
      FROM schemes
      WINDOW loading AS (PARTITION BY programme ORDER BY create_time, scheme_id)) AS earlier
WHERE schemes.scheme_id = earlier.scheme_id;

ALTER TABLE schemes
    ALTER COLUMN period SET NOT NULL,
    ADD CONSTRAINT schemes_period_check CHECK (NOT isempty(period)),
    ADD CONSTRAINT schemes_period_excl EXCLUDE USING gist (programme WITH =, period WITH &&);

-- A row is written once, but for the end of a scheme that has none.
CREATE FUNCTION guard_scheme() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (new.scheme_id, new.programme, new.file_name, new.content, new.content_hash, new.rule_set_hash, new.create_time)
           IS DISTINCT FROM
           (old.scheme_id, old.programme, old.file_name, old.content, old.content_hash, old.rule_set_hash, old.create_time)
       OR NOT upper_inf(old.period) OR lower(new.period) IS DISTINCT FROM lower(old.period) THEN
        RAISE EXCEPTION 'scheme % is written once', old.scheme_id
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'schemes_immutable';
    END IF;
    RETURN new;
END;
$$;

CREATE TRIGGER schemes_guard BEFORE UPDATE ON schemes
    FOR EACH ROW EXECUTE FUNCTION guard_scheme();
CREATE TRIGGER schemes_immutable BEFORE DELETE OR TRUNCATE ON schemes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
