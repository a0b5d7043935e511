-- Winners as recipients.
CREATE TABLE participations (
    participation_id        uuid        NOT NULL,
    batch_id                text        NOT NULL,
    programme               text        NOT NULL,
    -- Whether the scheme lets a person take part in the programme once only.
    once_only               boolean     NOT NULL,
    account_id              uuid        NOT NULL,
    application_id          uuid        NOT NULL,
    region                  text        NOT NULL,
    household               bytea,
    state                   text        NOT NULL,
    funded                  boolean     NOT NULL DEFAULT false,
    first_purchase_deadline timestamptz NOT NULL,
    award_time              timestamptz NOT NULL,
    revoke_time             timestamptz,
    -- The purchase under way. It stands in this row so that a purchase and the revocation meet on one row's lock:
    -- whoever comes second sees what the first did.
    pending_purchase_id     uuid,
    CONSTRAINT participations_pkey PRIMARY KEY (participation_id),
    CONSTRAINT participations_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches (batch_id),
    CONSTRAINT participations_application_id_fkey FOREIGN KEY (application_id) REFERENCES applications (application_id),
    CONSTRAINT participations_application_id_key UNIQUE (application_id),
    CONSTRAINT participations_state_check CHECK (state IN ('AWARDED', 'ACTIVE', 'COMPLETED', 'REVOKED')),
    CONSTRAINT participations_revoke_check CHECK ((state = 'REVOKED') = (revoke_time IS NOT NULL)),
    -- Never both revoked and buying.
    CONSTRAINT participations_pending_check CHECK (state <> 'REVOKED' OR pending_purchase_id IS NULL),
    CONSTRAINT participations_household_check CHECK (octet_length(household) = 16)
)
-- State, funding and the pending purchase change in place.
WITH (fillfactor = 70);
-- Once in a lifetime, across the batches and schemes of a programme; a revocation does not free it.
CREATE UNIQUE INDEX participations_programme_account_id_key ON participations (programme, account_id) WHERE once_only;
-- Recipients of a household over the programme's history.
CREATE INDEX participations_programme_household_idx ON participations (programme, household) WHERE household IS NOT NULL;
-- Lists, and the counts of the funnel.
CREATE INDEX participations_batch_id_participation_id_idx ON participations (batch_id, participation_id);
CREATE INDEX participations_account_id_participation_id_idx ON participations (account_id, participation_id);
-- The deadline sweeper.
CREATE INDEX participations_first_purchase_deadline_idx ON participations (first_purchase_deadline)
    WHERE state = 'AWARDED';

-- A participation goes AWARDED, ACTIVE, COMPLETED; only AWARDED can be revoked, and nothing comes after it.
CREATE FUNCTION guard_participation() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF new.state <> old.state AND (old.state, new.state) NOT IN
           (('AWARDED', 'ACTIVE'), ('ACTIVE', 'COMPLETED'), ('AWARDED', 'REVOKED')) THEN
        RAISE EXCEPTION 'a participation cannot go from % to %', old.state, new.state
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'participations_transition';
    END IF;
    RETURN new;
END;
$$;
CREATE TRIGGER participations_guard BEFORE UPDATE OF state ON participations
    FOR EACH ROW EXECUTE FUNCTION guard_participation();

-- Winners who could not become recipients any more, because another batch was awarded between their freeze and now.
CREATE TABLE award_refusals (
    batch_id       text NOT NULL,
    application_id uuid NOT NULL,
    -- ALREADY_RECIPIENT or HOUSEHOLD_LIMIT.
    reason         text NOT NULL,
    CONSTRAINT award_refusals_pkey PRIMARY KEY (application_id),
    CONSTRAINT award_refusals_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches (batch_id),
    CONSTRAINT award_refusals_reason_check CHECK (reason IN ('ALREADY_RECIPIENT', 'HOUSEHOLD_LIMIT'))
);
