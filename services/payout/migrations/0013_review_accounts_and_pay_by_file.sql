-- Accounts that several persons are paid into, what comes after a failure, and payments by file.

ALTER TABLE payee_accounts
    ADD COLUMN state text NOT NULL DEFAULT 'ACTIVE',
    -- Who decided about an account that was held, when, and why the person is told.
    ADD COLUMN reviewer text,
    ADD COLUMN review_reason text,
    ADD COLUMN review_time timestamptz,
    ADD CONSTRAINT payee_accounts_state_check CHECK (state IN ('ACTIVE', 'HELD_FOR_REVIEW', 'REJECTED')),
    ADD CONSTRAINT payee_accounts_review_check CHECK (
        (reviewer IS NULL) = (review_reason IS NULL)
        AND (reviewer IS NULL) = (review_time IS NULL)
        AND CASE state WHEN 'HELD_FOR_REVIEW' THEN reviewer IS NULL WHEN 'REJECTED' THEN reviewer IS NOT NULL ELSE true END
    );

-- One person per account in force, but for those that somebody stands for.
DROP INDEX payee_accounts_number_hash_key;
CREATE UNIQUE INDEX payee_accounts_number_hash_key ON payee_accounts (number_hash)
    WHERE replace_time IS NULL AND state = 'ACTIVE' AND reviewer IS NULL;
-- For whoever else gave the account, also before.
CREATE INDEX payee_accounts_number_hash_idx ON payee_accounts (number_hash);
-- The list of those that wait for a decision.
CREATE INDEX payee_accounts_held_idx ON payee_accounts (id) WHERE replace_time IS NULL AND state = 'HELD_FOR_REVIEW';

-- Decides here, and not in a program, whether an account is shared: persons who link one account at once take turns.
CREATE FUNCTION hold_shared_account() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    sharer_count bigint;
    own payee_accounts%ROWTYPE;
BEGIN
    -- By the hash's first byte: accounts that share it wait for one another, and a bulk load takes 256 locks at most.
    PERFORM pg_advisory_xact_lock(hashtextextended('payee_accounts', get_byte(NEW.number_hash, 0)));
    SELECT count(*) INTO sharer_count
    FROM payee_accounts
    WHERE number_hash = NEW.number_hash AND account_id <> NEW.account_id AND replace_time IS NULL AND state <> 'REJECTED';
    IF sharer_count >= 10 THEN
        RAISE EXCEPTION 'ten other persons are paid into the account or ask to be'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'payee_accounts_sharers_check';
    END IF;
    IF sharer_count > 0 THEN
        -- Who links again what is theirs keeps what was decided; nobody else's claim can take it away.
        SELECT * INTO own
        FROM payee_accounts
        WHERE number_hash = NEW.number_hash AND account_id = NEW.account_id AND replace_time = NEW.link_time
          AND state = 'ACTIVE';
        IF FOUND THEN
            NEW.reviewer := own.reviewer;
            NEW.review_reason := own.review_reason;
            NEW.review_time := own.review_time;
        ELSE
            NEW.state := 'HELD_FOR_REVIEW';
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER payee_accounts_shared BEFORE INSERT ON payee_accounts
    FOR EACH ROW EXECUTE FUNCTION hold_shared_account();

-- What was decided stays, and an account that was held becomes active by a decision alone.
CREATE TRIGGER payee_accounts_decided BEFORE UPDATE ON payee_accounts FOR EACH ROW
    WHEN (
        NEW.state <> OLD.state AND (OLD.state <> 'HELD_FOR_REVIEW' OR NEW.reviewer IS NULL)
        OR NEW.reviewer IS DISTINCT FROM OLD.reviewer AND OLD.state <> 'HELD_FOR_REVIEW'
    )
    EXECUTE FUNCTION refuse_ended();

-- An account that was held once active stays so: no lock is needed to look.
CREATE FUNCTION refuse_held_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM payee_accounts WHERE id = NEW.payee_account_id AND state <> 'ACTIVE') THEN
        RAISE EXCEPTION 'nothing is sent to an account that is not active'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER disbursements_payee_account BEFORE UPDATE ON disbursements FOR EACH ROW
    WHEN (NEW.payee_account_id IS NOT NULL AND NEW.payee_account_id IS DISTINCT FROM OLD.payee_account_id)
    EXECUTE FUNCTION refuse_held_account();

ALTER TABLE disbursements
    -- Who ended a failed payment's standing still, and why.
    ADD COLUMN resolver text,
    ADD COLUMN resolve_reason text,
    ADD CONSTRAINT disbursements_resolve_reason_check CHECK ((resolver IS NULL) = (resolve_reason IS NULL));

-- Payments by file, for a bank without an API: pain.001 out, pain.002 in.

ALTER TABLE disbursement_batches
    ADD COLUMN rail text NOT NULL DEFAULT 'API',
    ADD CONSTRAINT disbursement_batches_rail_check CHECK (rail IN ('API', 'FILE'));

ALTER TABLE disbursements
    -- Copied from the batch, so that the workers find their lines in one index.
    ADD COLUMN by_file boolean NOT NULL DEFAULT false,
    -- Nobody can be asked about a payment by file: while it is SENT, the time is when it is given up as UNKNOWN.
    DROP CONSTRAINT disbursements_next_inquiry_time_check,
    ADD CONSTRAINT disbursements_next_inquiry_time_check CHECK (
        CASE state
            WHEN 'SENT' THEN next_inquiry_time IS NOT NULL
            WHEN 'UNKNOWN' THEN by_file = (next_inquiry_time IS NULL)
            WHEN 'SETTLED' THEN true
            ELSE next_inquiry_time IS NULL
        END
    );

DROP INDEX disbursements_approved_idx;
CREATE INDEX disbursements_approved_idx ON disbursements (id) WHERE state = 'APPROVED' AND NOT by_file;

CREATE TABLE payment_initiations (
    -- One file per batch, and its message id follows from it: the bank takes each once.
    disbursement_batch_id uuid NOT NULL,
    line_count bigint NOT NULL,
    total_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    -- Kept, because the file is the same also after the settings have changed.
    debtor_account text NOT NULL,
    initiator text NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT payment_initiations_pkey PRIMARY KEY (disbursement_batch_id),
    CONSTRAINT payment_initiations_disbursement_batch_id_fkey FOREIGN KEY (disbursement_batch_id)
        REFERENCES disbursement_batches (id),
    CONSTRAINT payment_initiations_line_count_check CHECK (line_count > 0 AND total_minor > 0)
);

-- What the bank was told, and where each payment goes: the file is written from it, and reports are compared with it.
CREATE TABLE payment_initiation_lines (
    disbursement_batch_id uuid NOT NULL,
    disbursement_id uuid NOT NULL,
    attempt integer NOT NULL,
    payee_account_id uuid NOT NULL,
    amount_minor bigint NOT NULL,
    -- No foreign keys: each costs a lookup a row, and lines are written by a join with what they point at.
    CONSTRAINT payment_initiation_lines_pkey PRIMARY KEY (disbursement_batch_id, disbursement_id)
);

CREATE TRIGGER payment_initiations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_initiations
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER payment_initiation_lines_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_initiation_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- A payment by file is sent once, as a line of its batch's file and in no other way.
CREATE FUNCTION refuse_unlisted_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'APPROVED' OR NOT EXISTS (
        SELECT FROM payment_initiation_lines
        WHERE disbursement_batch_id = NEW.disbursement_batch_id AND disbursement_id = NEW.id AND attempt = NEW.attempt
    ) THEN
        RAISE EXCEPTION 'a payment by file is sent as a line of the file alone'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER disbursements_by_file BEFORE UPDATE ON disbursements FOR EACH ROW
    WHEN (NEW.by_file AND NEW.state = 'SENT' AND OLD.state <> 'SENT') EXECUTE FUNCTION refuse_unlisted_payment();

CREATE TABLE payment_status_reports (
    id uuid NOT NULL,
    disbursement_batch_id uuid NOT NULL,
    -- The bank's.
    message_id text NOT NULL,
    -- SHA-256 of the file: the same bytes again are the same report.
    content_hash bytea NOT NULL,
    settled_count bigint NOT NULL,
    failed_count bigint NOT NULL,
    pending_count bigint NOT NULL,
    repeated_count bigint NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT payment_status_reports_pkey PRIMARY KEY (id),
    CONSTRAINT payment_status_reports_message_id_key UNIQUE (message_id),
    CONSTRAINT payment_status_reports_content_hash_key UNIQUE (content_hash),
    CONSTRAINT payment_status_reports_disbursement_batch_id_fkey FOREIGN KEY (disbursement_batch_id)
        REFERENCES payment_initiations (disbursement_batch_id)
);

CREATE TRIGGER payment_status_reports_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_status_reports
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();

-- The payments of reports that are still being read; unlogged like `statement_staging`.
CREATE UNLOGGED TABLE payment_status_staging (
    report_id uuid NOT NULL,
    -- Below zero for those that the report names as a whole.
    number bigint NOT NULL,
    line bigint NOT NULL,
    -- Absent where the reference has not the form of ours.
    disbursement_id uuid,
    attempt integer,
    status text NOT NULL,
    failure_reason text,
    amount_minor bigint,
    currency text,
    CONSTRAINT payment_status_staging_pkey PRIMARY KEY (report_id, number),
    CONSTRAINT payment_status_staging_status_check CHECK (status IN ('SETTLED', 'FAILED', 'PENDING'))
);

CREATE INDEX payment_status_staging_disbursement_id_idx ON payment_status_staging (report_id, disbursement_id);
