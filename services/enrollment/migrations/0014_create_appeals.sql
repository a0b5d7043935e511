-- Appeals against a decision on an application or against a freeze. No text of the person is here: a code for the ground,
-- and the id under which documents are kept elsewhere.
CREATE TABLE appeals (
    appeal_id        uuid        NOT NULL,
    account_id       uuid        NOT NULL,
    programme        text        NOT NULL,
    -- Either a decision or a frozen participation.
    application_id   uuid,
    stage            smallint,
    participation_id uuid,
    ground           text        NOT NULL,
    document_id      uuid,
    -- What it is against, as it stood when it was lodged.
    reasons          text[]      NOT NULL,
    state            text        NOT NULL,
    create_time      timestamptz NOT NULL,
    resolve_time     timestamptz,
    resolved_by      text,
    resolve_reason   text,
    CONSTRAINT appeals_pkey PRIMARY KEY (appeal_id),
    CONSTRAINT appeals_application_id_fkey FOREIGN KEY (application_id) REFERENCES applications (application_id),
    CONSTRAINT appeals_participation_id_fkey FOREIGN KEY (participation_id)
        REFERENCES participations (participation_id),
    CONSTRAINT appeals_target_check CHECK (
        (application_id IS NULL) = (stage IS NULL) AND (application_id IS NULL) <> (participation_id IS NULL)),
    CONSTRAINT appeals_ground_check CHECK (ground IN ('LIST_WRONG', 'FACTS_WRONG', 'FACTS_CHANGED', 'UNFOUNDED')),
    CONSTRAINT appeals_reasons_check CHECK (cardinality(reasons) > 0),
    CONSTRAINT appeals_state_check CHECK (state IN ('OPEN', 'GRANTED', 'REJECTED')),
    CONSTRAINT appeals_resolve_check CHECK (
        num_nulls(resolve_time, resolved_by, resolve_reason) = CASE WHEN state = 'OPEN' THEN 3 ELSE 0 END)
);
-- One open appeal a decision and a participation, also when two arrive at once.
CREATE UNIQUE INDEX appeals_application_id_stage_key ON appeals (application_id, stage) WHERE state = 'OPEN';
CREATE UNIQUE INDEX appeals_participation_id_key ON appeals (participation_id) WHERE state = 'OPEN';
-- Lists: a person's own, and what operators have before them.
CREATE INDEX appeals_account_id_appeal_id_idx ON appeals (account_id, appeal_id);
CREATE INDEX appeals_open_appeal_id_idx ON appeals (appeal_id) WHERE state = 'OPEN';

-- An appeal is lodged once and resolved once.
CREATE FUNCTION guard_appeal() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF old.state <> 'OPEN'
       OR (new.account_id, new.programme, new.application_id, new.stage, new.participation_id, new.ground,
           new.document_id, new.reasons, new.create_time)
          IS DISTINCT FROM
          (old.account_id, old.programme, old.application_id, old.stage, old.participation_id, old.ground,
           old.document_id, old.reasons, old.create_time) THEN
        RAISE EXCEPTION 'an appeal is lodged once and resolved once'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'appeals_immutable';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER appeals_guard BEFORE UPDATE ON appeals FOR EACH ROW EXECUTE FUNCTION guard_appeal();
CREATE TRIGGER appeals_immutable BEFORE DELETE OR TRUNCATE ON appeals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Rules that are not held against an account any more, whatever a list says: whoever decides or checks again looks here.
CREATE TABLE exemptions (
    account_id  uuid        NOT NULL,
    programme   text        NOT NULL,
    reason      text        NOT NULL,
    -- The appeal that granted it, which tells who did so and why.
    appeal_id   uuid        NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT exemptions_pkey PRIMARY KEY (account_id, programme, reason),
    CONSTRAINT exemptions_appeal_id_fkey FOREIGN KEY (appeal_id) REFERENCES appeals (appeal_id)
);
CREATE TRIGGER exemptions_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON exemptions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
