-- What the rail tells of itself. A notice is never believed: it makes the next inquiry due now, and the inquiry's answer
-- counts. A settled payment that the rail says it took back is asked about as well, and comes back once.

-- Settled payments have a next inquiry while they are in doubt.
ALTER TABLE disbursements
    DROP CONSTRAINT disbursements_next_inquiry_time_check,
    ADD CONSTRAINT disbursements_next_inquiry_time_check CHECK (
        CASE state
            WHEN 'SENT' THEN next_inquiry_time IS NOT NULL
            WHEN 'UNKNOWN' THEN next_inquiry_time IS NOT NULL
            WHEN 'SETTLED' THEN true
            ELSE next_inquiry_time IS NULL
        END
    ),
    -- From when a failed payment is tried again by itself, for those reasons that time cures.
    ADD COLUMN retry_time timestamptz,
    ADD CONSTRAINT disbursements_retry_time_check CHECK (retry_time IS NULL OR state = 'FAILED');

DROP INDEX disbursements_next_inquiry_time_idx;
CREATE INDEX disbursements_next_inquiry_time_idx ON disbursements (next_inquiry_time) WHERE next_inquiry_time IS NOT NULL;
CREATE INDEX disbursements_retry_time_idx ON disbursements (retry_time) WHERE retry_time IS NOT NULL;

-- Paid is paid, unless the rail took it back: then the order has failed, and what was paid and when stays in the ledger.
DROP TRIGGER disbursements_ended ON disbursements;
CREATE TRIGGER disbursements_ended BEFORE UPDATE ON disbursements FOR EACH ROW
    WHEN (
        OLD.state = 'CANCELLED'
        OR OLD.state = 'SETTLED'
           AND (NEW.state, NEW.failure_reason) IS DISTINCT FROM ('FAILED', 'REVERSED')
           AND (NEW.state, NEW.settle_time, NEW.attempt, NEW.amount_minor, NEW.currency, NEW.payee_account_id)
               IS DISTINCT FROM
               (OLD.state, OLD.settle_time, OLD.attempt, OLD.amount_minor, OLD.currency, OLD.payee_account_id)
    )
    EXECUTE FUNCTION refuse_ended();
