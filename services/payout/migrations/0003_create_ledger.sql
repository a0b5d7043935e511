-- The double-entry ledger: accounts with four running sums, and the transfers that they are the sums of.

CREATE TABLE ledger_accounts (
    -- Derived from kind, owner, batch and currency by the service, so that nobody looks an account up before using it.
    id uuid NOT NULL,
    kind text NOT NULL,
    -- A resource name: a batch, a participation, a provider, an appropriation; `treasury` for the source of all money.
    owner text NOT NULL,
    -- In whose statement it counts. Null: in no batch's.
    batch text,
    currency char(3) NOT NULL,
    debits_pending bigint NOT NULL DEFAULT 0,
    debits_posted bigint NOT NULL DEFAULT 0,
    credits_pending bigint NOT NULL DEFAULT 0,
    credits_posted bigint NOT NULL DEFAULT 0,
    -- Set on every account that must not be overdrawn; only the treasury, which all money comes from, is without it.
    debits_must_not_exceed_credits boolean NOT NULL,
    CONSTRAINT ledger_accounts_pkey PRIMARY KEY (id),
    -- The owner first: the same index lists an owner's accounts.
    CONSTRAINT ledger_accounts_owner_kind_batch_currency_key UNIQUE NULLS NOT DISTINCT (owner, kind, batch, currency),
    CONSTRAINT ledger_accounts_kind_check CHECK (kind IN (
        'treasury', 'appropriation', 'batch-budget', 'training-balance', 'incentive-commitment',
        'provider-payable', 'rail-in-flight', 'paid', 'returned'
    )),
    CONSTRAINT ledger_accounts_sums_check CHECK (
        debits_pending >= 0 AND debits_posted >= 0 AND credits_pending >= 0 AND credits_posted >= 0
    ),
    -- What is held counts as gone. What is only promised to the account does not count as there.
    CONSTRAINT ledger_accounts_overdraft_check CHECK (
        NOT debits_must_not_exceed_credits OR debits_pending + debits_posted <= credits_posted
    )
)
-- Every movement updates two rows. Half a page stays free, and no index is on a sum, so that the new version of a row
-- stays on its page and no index is touched.
WITH (fillfactor = 60);

CREATE INDEX ledger_accounts_batch_id_idx ON ledger_accounts (batch, id);

CREATE TABLE ledger_transfers (
    -- Chosen by whoever orders the transfer; the same id twice is one transfer.
    id uuid NOT NULL,
    -- Drawn while both accounts are locked: within an account the order of the numbers is the order of the bookings.
    sequence bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    debit_account_id uuid NOT NULL,
    credit_account_id uuid NOT NULL,
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    kind text NOT NULL,
    -- The pending transfer that this one posts or voids.
    pending_id uuid,
    code text NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT ledger_transfers_pkey PRIMARY KEY (id),
    CONSTRAINT ledger_transfers_amount_minor_check CHECK (amount_minor > 0),
    CONSTRAINT ledger_transfers_accounts_check CHECK (debit_account_id <> credit_account_id),
    CONSTRAINT ledger_transfers_kind_check CHECK (kind IN ('POSTED', 'PENDING', 'POST_PENDING', 'VOID_PENDING')),
    CONSTRAINT ledger_transfers_pending_id_check CHECK (
        (kind IN ('POST_PENDING', 'VOID_PENDING')) = (pending_id IS NOT NULL)
    ),
    CONSTRAINT ledger_transfers_code_check CHECK (code <> '')
);

-- A pending transfer ends once: posted or voided.
CREATE UNIQUE INDEX ledger_transfers_pending_id_key ON ledger_transfers (pending_id) WHERE pending_id IS NOT NULL;

-- For the statement of an account.
CREATE INDEX ledger_transfers_debit_account_id_sequence_idx ON ledger_transfers (debit_account_id, sequence);
CREATE INDEX ledger_transfers_credit_account_id_sequence_idx ON ledger_transfers (credit_account_id, sequence);

-- Written once. The trigger holds for every role, also the owner and superusers; the privileges say it once more.
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
$$;

CREATE TRIGGER ledger_transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER ledger_accounts_permanent BEFORE DELETE OR TRUNCATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

REVOKE UPDATE, DELETE, TRUNCATE ON ledger_transfers FROM PUBLIC;
REVOKE UPDATE, DELETE, TRUNCATE ON ledger_transfers FROM CURRENT_USER;

-- In place of foreign keys, which cost a lookup a row: one join for a whole statement. Accounts are never deleted and
-- transfers never change, so that what is true at the insertion stays true.
CREATE FUNCTION ledger_check_transfers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted
        LEFT JOIN ledger_accounts AS debit ON debit.id = inserted.debit_account_id
        LEFT JOIN ledger_accounts AS credit ON credit.id = inserted.credit_account_id
        WHERE debit.currency IS DISTINCT FROM inserted.currency
           OR credit.currency IS DISTINCT FROM inserted.currency
    ) THEN
        RAISE EXCEPTION 'a transfer names an account that is not there or has another currency'
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'ledger_transfers_accounts_fkey';
    END IF;
    IF EXISTS (
        SELECT FROM inserted
        LEFT JOIN ledger_transfers AS pending
            ON pending.id = inserted.pending_id
           AND pending.kind = 'PENDING'
           AND pending.debit_account_id = inserted.debit_account_id
           AND pending.credit_account_id = inserted.credit_account_id
           AND pending.amount_minor = inserted.amount_minor
        WHERE inserted.pending_id IS NOT NULL AND pending.id IS NULL
    ) THEN
        RAISE EXCEPTION 'a transfer ends a pending transfer that is not there or is another one'
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'ledger_transfers_pending_id_fkey';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER ledger_transfers_references AFTER INSERT ON ledger_transfers
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_transfers();

-- The books balance, by induction: accounts begin at zero, and every statement that moves sums moves as much on the
-- debit side as on the credit side, of pending and posted money alike.
CREATE FUNCTION ledger_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM before
        JOIN after USING (id)
        GROUP BY after.currency
        HAVING sum(after.debits_posted - before.debits_posted) <> sum(after.credits_posted - before.credits_posted)
            OR sum(after.debits_pending - before.debits_pending) <> sum(after.credits_pending - before.credits_pending)
    ) THEN
        RAISE EXCEPTION 'debits and credits moved by different amounts'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER ledger_accounts_balance AFTER UPDATE ON ledger_accounts
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_balance();

CREATE FUNCTION ledger_refuse_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an account begins with sums of zero and keeps its identity'
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
$$;

CREATE TRIGGER ledger_accounts_begin_at_zero BEFORE INSERT ON ledger_accounts FOR EACH ROW
    WHEN (NEW.debits_pending <> 0 OR NEW.debits_posted <> 0 OR NEW.credits_pending <> 0 OR NEW.credits_posted <> 0)
    EXECUTE FUNCTION ledger_refuse_account();
CREATE TRIGGER ledger_accounts_identity BEFORE UPDATE ON ledger_accounts FOR EACH ROW
    WHEN ((OLD.id, OLD.kind, OLD.owner, OLD.batch, OLD.currency, OLD.debits_must_not_exceed_credits)
        IS DISTINCT FROM (NEW.id, NEW.kind, NEW.owner, NEW.batch, NEW.currency, NEW.debits_must_not_exceed_credits))
    EXECUTE FUNCTION ledger_refuse_account();
