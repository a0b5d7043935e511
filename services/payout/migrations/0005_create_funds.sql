-- What each participation was given, and what is kept for its purchases. The money itself is in the ledger, in two
-- accounts of the participation.

CREATE TABLE participation_funds (
    participation_id uuid NOT NULL,
    -- The person, by identity's account.
    account_id uuid NOT NULL,
    batch text NOT NULL,
    -- For statements by region.
    region text NOT NULL,
    currency char(3) NOT NULL,
    -- The incentives as they were promised at the award: a list of benefit, trigger, amount, count and interval. It
    -- never changes, and nothing is searched in it.
    incentives jsonb NOT NULL,
    award_time timestamptz NOT NULL,
    fund_time timestamptz NOT NULL,
    -- The first course's certificate and its review, when payout heard of them.
    certificate_time timestamptz,
    review_time timestamptz,
    -- When the money went back. From then on nothing is held or paid.
    return_time timestamptz,
    CONSTRAINT participation_funds_pkey PRIMARY KEY (participation_id),
    CONSTRAINT participation_funds_batch_fkey FOREIGN KEY (batch) REFERENCES batch_budgets (batch)
)
-- Every row is updated a few times, with no index on what changes.
WITH (fillfactor = 80);

-- For a newly linked payee account, and for statements.
CREATE INDEX participation_funds_account_id_idx ON participation_funds (account_id);
CREATE INDEX participation_funds_batch_idx ON participation_funds (batch) INCLUDE (return_time);

CREATE TABLE funds_holds (
    -- Chosen by the caller, and the id of the pending transfer.
    id uuid NOT NULL,
    -- No foreign key: a release may arrive for a participation that was never funded, and is kept as RELEASED.
    participation_id uuid NOT NULL,
    provider_id uuid NOT NULL,
    -- Zero for a free course: then there is no transfer.
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    state text NOT NULL,
    create_time timestamptz NOT NULL,
    end_time timestamptz,
    CONSTRAINT funds_holds_pkey PRIMARY KEY (id),
    CONSTRAINT funds_holds_amount_minor_check CHECK (amount_minor >= 0),
    CONSTRAINT funds_holds_state_check CHECK (state IN ('HELD', 'CAPTURED', 'RELEASED')),
    CONSTRAINT funds_holds_end_time_check CHECK ((state = 'HELD') = (end_time IS NULL))
)
WITH (fillfactor = 80);

CREATE INDEX funds_holds_participation_id_idx ON funds_holds (participation_id);

CREATE FUNCTION refuse_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a row of % in state % never changes', TG_TABLE_NAME, OLD.state
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
$$;

CREATE TRIGGER funds_holds_ended BEFORE UPDATE ON funds_holds FOR EACH ROW
    WHEN (OLD.state <> 'HELD') EXECUTE FUNCTION refuse_ended();
