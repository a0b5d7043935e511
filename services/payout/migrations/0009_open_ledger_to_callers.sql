-- The ledger as a resource: accounts of callers beside those of the programme, pending transfers that expire or are posted
-- in part, and views for the audit.

-- Accounts of callers are in no batch, so that each batch's money stays what its own accounts say.
ALTER TABLE ledger_accounts
    ADD COLUMN credits_must_not_exceed_debits boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT ledger_accounts_kind_check,
    ADD CONSTRAINT ledger_accounts_kind_check CHECK (kind IN (
        'treasury', 'appropriation', 'batch-budget', 'training-balance', 'incentive-commitment',
        'provider-payable', 'rail-in-flight', 'paid', 'returned', 'caller'
    )),
    ADD CONSTRAINT ledger_accounts_batch_check CHECK (kind <> 'caller' OR batch IS NULL),
    -- The mirror of the check on overdrafts.
    ADD CONSTRAINT ledger_accounts_excess_check CHECK (
        NOT credits_must_not_exceed_debits OR credits_pending + credits_posted <= debits_posted
    );

DROP TRIGGER ledger_accounts_identity ON ledger_accounts;
CREATE TRIGGER ledger_accounts_identity BEFORE UPDATE ON ledger_accounts FOR EACH ROW
    WHEN ((OLD.id, OLD.kind, OLD.owner, OLD.batch, OLD.currency, OLD.debits_must_not_exceed_credits,
           OLD.credits_must_not_exceed_debits)
        IS DISTINCT FROM (NEW.id, NEW.kind, NEW.owner, NEW.batch, NEW.currency, NEW.debits_must_not_exceed_credits,
                          NEW.credits_must_not_exceed_debits))
    EXECUTE FUNCTION ledger_refuse_account();

ALTER TABLE ledger_transfers
    -- What a pending transfer that was posted in part gave back; null when it was posted whole. Stored, so that an audit
    -- reads each transfer by itself.
    ADD COLUMN rest_minor bigint,
    -- A pending transfer ends by itself so many seconds after its booking; null: never.
    ADD COLUMN timeout_seconds integer,
    DROP CONSTRAINT ledger_transfers_kind_check,
    ADD CONSTRAINT ledger_transfers_kind_check CHECK (
        kind IN ('POSTED', 'PENDING', 'POST_PENDING', 'VOID_PENDING', 'EXPIRE_PENDING')
    ),
    DROP CONSTRAINT ledger_transfers_pending_id_check,
    ADD CONSTRAINT ledger_transfers_pending_id_check CHECK (
        (kind IN ('POST_PENDING', 'VOID_PENDING', 'EXPIRE_PENDING')) = (pending_id IS NOT NULL)
    ),
    ADD CONSTRAINT ledger_transfers_rest_minor_check CHECK (
        rest_minor IS NULL OR (rest_minor > 0 AND kind = 'POST_PENDING')
    ),
    ADD CONSTRAINT ledger_transfers_timeout_seconds_check CHECK (
        timeout_seconds IS NULL OR (timeout_seconds > 0 AND kind = 'PENDING')
    );

-- Also for a session that plays a replica, in which other triggers rest.
ALTER TABLE ledger_transfers ENABLE ALWAYS TRIGGER ledger_transfers_append_only;
ALTER TABLE ledger_accounts ENABLE ALWAYS TRIGGER ledger_accounts_permanent;

-- The pending transfers that may still expire. A table of its own, from which they go when they end: an index on the
-- transfers would keep all that ever had a time-out.
CREATE TABLE ledger_timeouts (
    transfer_id uuid NOT NULL,
    expire_time timestamptz NOT NULL,
    CONSTRAINT ledger_timeouts_pkey PRIMARY KEY (transfer_id)
);

CREATE INDEX ledger_timeouts_expire_time_idx ON ledger_timeouts (expire_time);

-- A session plans the query of a trigger once, after its first statement, whether that booked one transfer or eight
-- thousand. Looking up by key is right for both; a hash over all accounts would be made for one transfer too.
CREATE OR REPLACE FUNCTION ledger_check_transfers() RETURNS trigger LANGUAGE plpgsql
    SET enable_hashjoin = off
    SET enable_mergejoin = off
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted
        LEFT JOIN ledger_accounts AS debit ON debit.id = inserted.debit_account_id
        LEFT JOIN ledger_accounts AS credit ON credit.id = inserted.credit_account_id
        WHERE debit.currency IS DISTINCT FROM inserted.currency
           OR credit.currency IS DISTINCT FROM inserted.currency
           -- The programme's money and that of callers never mix.
           OR (debit.kind = 'caller') <> (credit.kind = 'caller')
    ) THEN
        RAISE EXCEPTION 'a transfer names an account that is not there, has another currency or is none of the same books'
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'ledger_transfers_accounts_fkey';
    END IF;
    -- Posting a part gives the rest back: both together are what was pending, and so no more is posted than that. What
    -- has expired is not posted or voided, and nothing expires before its time.
    IF EXISTS (
        SELECT FROM inserted
        LEFT JOIN ledger_transfers AS pending
            ON pending.id = inserted.pending_id
           AND pending.kind = 'PENDING'
           AND pending.debit_account_id = inserted.debit_account_id
           AND pending.credit_account_id = inserted.credit_account_id
           AND pending.currency = inserted.currency
           AND pending.amount_minor = inserted.amount_minor + coalesce(inserted.rest_minor, 0)
           AND (inserted.kind = 'EXPIRE_PENDING') = coalesce(
               inserted.create_time >= pending.create_time + pending.timeout_seconds * interval '1 second', false
           )
        WHERE inserted.pending_id IS NOT NULL AND pending.id IS NULL
    ) THEN
        RAISE EXCEPTION 'a transfer ends a pending transfer that is not there or is another one, or not at this time'
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'ledger_transfers_pending_id_fkey';
    END IF;
    RETURN NULL;
END
$$;

ALTER FUNCTION refuse_frozen_hold() SET enable_hashjoin = off;
ALTER FUNCTION refuse_frozen_hold() SET enable_mergejoin = off;

-- For the same reason without a join: what was added on each side, by currency, which no account changes.
CREATE OR REPLACE FUNCTION ledger_check_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT currency, debits_posted - credits_posted AS posted, debits_pending - credits_pending AS pending
            FROM after
            UNION ALL
            SELECT currency, credits_posted - debits_posted, credits_pending - debits_pending FROM before
        ) AS moved
        GROUP BY currency
        HAVING sum(posted) <> 0 OR sum(pending) <> 0
    ) THEN
        RAISE EXCEPTION 'debits and credits moved by different amounts'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END
$$;

-- Every account beside the sums that the transfers give. One pass over the transfers and a hash of accounts, which goes to
-- disk where it is larger than `work_mem`. By currency as well, so that a transfer in another one stands out; a row
-- without a kind is an account that transfers name and that is not there.
CREATE VIEW ledger_comparison AS
SELECT coalesce(accounts.id, sums.account_id) AS id,
       accounts.kind,
       accounts.batch,
       coalesce(sums.debits_posted, 0) AS debits_posted,
       coalesce(sums.credits_posted, 0) AS credits_posted,
       -- Each transfer has two sides.
       coalesce(sums.side_count, 0) AS side_count,
       accounts.id IS NULL
           OR accounts.debits_pending <> coalesce(sums.debits_pending, 0)
           OR accounts.debits_posted <> coalesce(sums.debits_posted, 0)
           OR accounts.credits_pending <> coalesce(sums.credits_pending, 0)
           OR accounts.credits_posted <> coalesce(sums.credits_posted, 0) AS differs
FROM ledger_accounts AS accounts
FULL JOIN (
    SELECT side.account_id, transfers.currency, count(*) AS side_count,
           sum(side.debit_pending) AS debits_pending, sum(side.debit_posted) AS debits_posted,
           sum(side.credit_pending) AS credits_pending, sum(side.credit_posted) AS credits_posted
    FROM ledger_transfers AS transfers
    CROSS JOIN LATERAL (
        SELECT CASE kind WHEN 'PENDING' THEN amount_minor
                         WHEN 'POSTED' THEN 0
                         ELSE -amount_minor - coalesce(rest_minor, 0) END AS pending,
               CASE WHEN kind IN ('POSTED', 'POST_PENDING') THEN amount_minor ELSE 0 END AS posted
    ) AS move
    CROSS JOIN LATERAL (
        VALUES (debit_account_id, move.pending, move.posted, 0, 0),
               (credit_account_id, 0, 0, move.pending, move.posted)
    ) AS side (account_id, debit_pending, debit_posted, credit_pending, credit_posted)
    GROUP BY side.account_id, transfers.currency
) AS sums ON sums.account_id = accounts.id AND sums.currency = accounts.currency;
