-- The versions of programmes' rules. A row is written once and never changed: decisions of years ago refer to it.
CREATE TABLE schemes (
    -- The id in `schemes/{scheme}`, as the file states it.
    scheme_id     text        NOT NULL,
    -- What may be had once only is once per programme, across its schemes.
    programme     text        NOT NULL,
    -- The file as it was loaded. It is parsed again when a process first needs it; what was accepted once stays acceptable.
    file_name     text        NOT NULL,
    content       text        NOT NULL,
    content_hash  bytea       NOT NULL,
    rule_set_hash bytea       NOT NULL,
    create_time   timestamptz NOT NULL,
    CONSTRAINT schemes_pkey PRIMARY KEY (scheme_id),
    CONSTRAINT schemes_content_hash_check CHECK (octet_length(content_hash) = 32),
    CONSTRAINT schemes_rule_set_hash_check CHECK (octet_length(rule_set_hash) = 32)
);

-- Refuses whatever the statement would do to rows that are written once.
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is written once: % refused', tg_table_name, tg_op
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = tg_table_name || '_immutable';
END;
$$;

CREATE TRIGGER schemes_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON schemes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
