-- The money of a frozen participation stands still: nothing new is held for its purchases and nothing is sent. It stays
-- where it is, so that lifting the freeze has nothing to bring back, and a return finds all of it.

ALTER TABLE participation_funds
    -- Since when it is frozen, and why; null while it is not.
    ADD COLUMN freeze_time timestamptz,
    ADD COLUMN freeze_reason text,
    -- When it was last unfrozen. Kept, so that an older freeze that arrives later changes nothing.
    ADD COLUMN unfreeze_time timestamptz,
    ADD CONSTRAINT participation_funds_freeze_reason_check CHECK (
        (freeze_time IS NULL) = (freeze_reason IS NULL) AND freeze_reason <> ''
    ),
    ADD CONSTRAINT participation_funds_freeze_time_check CHECK (freeze_time >= unfreeze_time);

-- Whoever sends has locked the participation's funds before, so that a freeze is either seen here or comes after.
CREATE FUNCTION refuse_frozen_payment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM participation_funds
        WHERE participation_id = NEW.participation_id AND freeze_time IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'nothing is sent for a frozen participation'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$;

-- Row by row, because a statement trigger would build a transition table at every update of the largest queue; lines
-- become SENT some dozens at a time.
CREATE TRIGGER disbursements_frozen BEFORE UPDATE ON disbursements FOR EACH ROW
    WHEN (NEW.state = 'SENT' AND OLD.state <> 'SENT') EXECUTE FUNCTION refuse_frozen_payment();

-- Money for a purchase leaves a training balance as a pending transfer and in no other way. The funds are locked before,
-- as above.
CREATE FUNCTION refuse_frozen_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM inserted
        JOIN ledger_accounts AS debit ON debit.id = inserted.debit_account_id AND debit.kind = 'training-balance'
        JOIN participation_funds AS funds ON funds.participation_id = split_part(debit.owner, '/', 2)::uuid
        WHERE inserted.kind = 'PENDING' AND funds.freeze_time IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'nothing is held for a frozen participation'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER ledger_transfers_frozen AFTER INSERT ON ledger_transfers
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_frozen_hold();
