-- Bank statements, and how they compare with the payments.

CREATE TABLE statements (
    -- Version 7: the order of the ids is the order of the list.
    id uuid NOT NULL,
    format text NOT NULL,
    -- SHA-256 of the file: the same bytes again are the same statement.
    content_hash bytea NOT NULL,
    statement_reference text NOT NULL,
    account_number text NOT NULL,
    currency char(3) NOT NULL,
    -- A notification has entries alone: no balances, no chain, and its entries are told again by the statement of the day.
    is_notification boolean NOT NULL,
    start_date date NOT NULL,
    end_date date NOT NULL,
    -- Below zero when overdrawn.
    opening_minor bigint,
    closing_minor bigint,
    entry_count bigint NOT NULL,
    matched_count bigint NOT NULL,
    unrelated_count bigint NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT statements_pkey PRIMARY KEY (id),
    CONSTRAINT statements_content_hash_key UNIQUE (content_hash),
    CONSTRAINT statements_account_number_reference_key UNIQUE (account_number, is_notification, statement_reference),
    CONSTRAINT statements_content_hash_check CHECK (octet_length(content_hash) = 32),
    CONSTRAINT statements_format_check CHECK (format IN ('CAMT_053', 'CAMT_054', 'MT940', 'CSV')),
    CONSTRAINT statements_balances_check CHECK (
        is_notification = (opening_minor IS NULL) AND is_notification = (closing_minor IS NULL)
    ),
    CONSTRAINT statements_dates_check CHECK (start_date <= end_date)
);

-- Names and account numbers of payees are not kept, whatever the file says of them.
CREATE TABLE statement_entries (
    statement_id uuid NOT NULL,
    entry_number bigint NOT NULL,
    -- Copied from the statement, so that doubles are found in one index.
    is_notification boolean NOT NULL,
    is_credit boolean NOT NULL,
    amount_minor bigint NOT NULL,
    booking_date date NOT NULL,
    value_date date NOT NULL,
    bank_reference text,
    reference text,
    -- What the reference means when it has the form of ours; no foreign key, because it may be made up.
    disbursement_id uuid,
    attempt integer,
    is_return boolean NOT NULL,
    return_reason text,
    -- No foreign key to the statement either: it costs a lookup a row, and entries are written together with their
    -- statement, by a join with it.
    CONSTRAINT statement_entries_pkey PRIMARY KEY (statement_id, entry_number),
    CONSTRAINT statement_entries_amount_minor_check CHECK (amount_minor > 0),
    CONSTRAINT statement_entries_attempt_check CHECK ((disbursement_id IS NULL) = (attempt IS NULL))
);

-- For doubles across statements, and for what is missing at the bank.
CREATE INDEX statement_entries_disbursement_id_idx ON statement_entries (disbursement_id, attempt)
    WHERE disbursement_id IS NOT NULL;
-- For the bank's references that come again.
CREATE INDEX statement_entries_bank_reference_idx ON statement_entries (bank_reference) WHERE bank_reference IS NOT NULL;

-- The entries of files that are still being read. Unlogged, because a file that was not read to its end counts as never
-- sent: after a crash it is read again.
CREATE UNLOGGED TABLE statement_staging (
    statement_id uuid NOT NULL,
    entry_number bigint NOT NULL,
    is_credit boolean NOT NULL,
    amount_minor bigint NOT NULL,
    booking_date date NOT NULL,
    value_date date NOT NULL,
    bank_reference text,
    reference text,
    disbursement_id uuid,
    attempt integer,
    is_return boolean NOT NULL,
    return_reason text,
    CONSTRAINT statement_staging_pkey PRIMARY KEY (statement_id, entry_number)
);

CREATE TABLE findings (
    statement_id uuid NOT NULL,
    finding_number bigint NOT NULL,
    kind text NOT NULL,
    entry_number bigint,
    disbursement_id uuid,
    reference text,
    bank_reference text,
    expected_minor bigint,
    expected_currency char(3),
    actual_minor bigint,
    actual_currency char(3),
    expected_date date,
    actual_date date,
    state text,
    return_reason text,
    CONSTRAINT findings_pkey PRIMARY KEY (statement_id, finding_number),
    CONSTRAINT findings_statement_id_fkey FOREIGN KEY (statement_id) REFERENCES statements (id),
    CONSTRAINT findings_disbursement_id_fkey FOREIGN KEY (disbursement_id) REFERENCES disbursements (id),
    CONSTRAINT findings_kind_check CHECK (kind IN (
        'MISSING_AT_BANK', 'UNKNOWN_REFERENCE', 'REFERENCE_MISSING', 'DOUBLE_ENTRY', 'WRONG_AMOUNT', 'WRONG_CURRENCY',
        'WRONG_DATE', 'NOT_SETTLED', 'OUTCOME_UNKNOWN', 'RETURNED', 'RETURNED_TWICE', 'RETURNED_UNPAID',
        'BANK_REFERENCE_REUSED', 'BALANCE_BROKEN'
    ))
);

-- Payments that arrived and were taken back, whoever said so. The key is what makes a payment come back once.
CREATE TABLE disbursement_reversals (
    disbursement_id uuid NOT NULL,
    attempt integer NOT NULL,
    -- When it had arrived; when the money was booked back stands in the ledger.
    settle_time timestamptz NOT NULL,
    CONSTRAINT disbursement_reversals_pkey PRIMARY KEY (disbursement_id, attempt),
    CONSTRAINT disbursement_reversals_disbursement_id_fkey FOREIGN KEY (disbursement_id) REFERENCES disbursements (id)
);

-- For what was settled on the days of a statement.
CREATE INDEX disbursements_settle_time_idx ON disbursements (settle_time) WHERE state = 'SETTLED';

-- Paid is paid, unless the money came back: then the order has failed, and that it had arrived is recorded here.
DROP TRIGGER disbursements_ended ON disbursements;
CREATE TRIGGER disbursements_ended BEFORE UPDATE ON disbursements FOR EACH ROW
    WHEN (
        OLD.state = 'CANCELLED'
        OR OLD.state = 'SETTLED' AND (NEW.state, NEW.failure_reason) IS DISTINCT FROM ('FAILED', 'REVERSED')
    )
    EXECUTE FUNCTION refuse_ended();

CREATE FUNCTION record_reversal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO disbursement_reversals (disbursement_id, attempt, settle_time)
    VALUES (OLD.id, OLD.attempt, OLD.settle_time);
    RETURN NULL;
END
$$;

CREATE TRIGGER disbursements_reversed AFTER UPDATE ON disbursements FOR EACH ROW
    WHEN (OLD.state = 'SETTLED' AND NEW.state = 'FAILED') EXECUTE FUNCTION record_reversal();

-- What was compared and what has come back stays as it was, for every role.
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: a record of what was seen', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
$$;

CREATE TRIGGER statement_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statement_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER findings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON findings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER disbursement_reversals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON disbursement_reversals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting();
