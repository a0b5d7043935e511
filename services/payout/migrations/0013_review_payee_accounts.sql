-- Accounts that several persons are paid into, and what comes after a failure.

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
    PERFORM pg_advisory_xact_lock(hashtextextended(encode(NEW.number_hash, 'hex'), 0));
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
