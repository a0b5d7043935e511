-- What persons owe who were wrongly enrolled. How much is still owed stands in the ledger alone: in two receivables of the
-- participation, against two claims of its batch.

ALTER TABLE ledger_accounts
    DROP CONSTRAINT ledger_accounts_kind_check,
    ADD CONSTRAINT ledger_accounts_kind_check CHECK (kind IN (
        'treasury', 'appropriation', 'batch-budget', 'training-balance', 'incentive-commitment',
        'provider-payable', 'rail-in-flight', 'paid', 'returned', 'training-claim', 'incentive-claim',
        'training-receivable', 'incentive-receivable', 'caller'
    )),
    -- No more of a claim is given up than was claimed.
    ADD CONSTRAINT ledger_accounts_claim_check CHECK (
        kind NOT IN ('training-claim', 'incentive-claim') OR credits_must_not_exceed_debits
    );

CREATE TABLE clawbacks (
    -- Version 7: the order of the ids is the order of the list.
    id uuid NOT NULL,
    participation_id uuid NOT NULL,
    batch text NOT NULL,
    reason text NOT NULL,
    -- What was claimed.
    training_minor bigint NOT NULL,
    incentives_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    state text NOT NULL,
    due_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL,
    write_off_requester text,
    write_off_reason text,
    write_off_approver text,
    -- When it was repaid or written off.
    end_time timestamptz,
    CONSTRAINT clawbacks_pkey PRIMARY KEY (id),
    CONSTRAINT clawbacks_participation_id_key UNIQUE (participation_id),
    CONSTRAINT clawbacks_participation_id_fkey FOREIGN KEY (participation_id)
        REFERENCES participation_funds (participation_id),
    CONSTRAINT clawbacks_reason_check CHECK (reason <> ''),
    CONSTRAINT clawbacks_amount_check CHECK (
        training_minor >= 0 AND incentives_minor >= 0 AND training_minor + incentives_minor > 0
    ),
    CONSTRAINT clawbacks_state_check CHECK (state IN ('OPEN', 'REPAID', 'WRITTEN_OFF')),
    CONSTRAINT clawbacks_due_time_check CHECK (due_time > create_time),
    CONSTRAINT clawbacks_end_time_check CHECK ((state = 'OPEN') = (end_time IS NULL)),
    CONSTRAINT clawbacks_write_off_reason_check CHECK (
        (write_off_requester IS NULL) = (write_off_reason IS NULL) AND write_off_reason <> ''
    ),
    -- Two different people, whatever a program says.
    CONSTRAINT clawbacks_write_off_approver_check CHECK (write_off_approver <> write_off_requester),
    CONSTRAINT clawbacks_written_off_check CHECK (
        (state = 'WRITTEN_OFF') = (write_off_approver IS NOT NULL)
        AND (write_off_approver IS NULL OR write_off_requester IS NOT NULL)
    )
);

CREATE INDEX clawbacks_batch_id_idx ON clawbacks (batch, id);
CREATE INDEX clawbacks_open_idx ON clawbacks (id) WHERE state = 'OPEN';

CREATE TRIGGER clawbacks_ended BEFORE UPDATE ON clawbacks FOR EACH ROW
    WHEN (OLD.state <> 'OPEN') EXECUTE FUNCTION refuse_ended();

-- Money that came back. That no more comes back than is owed, is the receivables' own limit.
CREATE TABLE repayments (
    id uuid NOT NULL,
    clawback_id uuid NOT NULL,
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    -- The state's own number of the payment.
    receipt text NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT repayments_pkey PRIMARY KEY (id),
    -- The same money is recorded once.
    CONSTRAINT repayments_receipt_key UNIQUE (receipt),
    CONSTRAINT repayments_clawback_id_fkey FOREIGN KEY (clawback_id) REFERENCES clawbacks (id),
    CONSTRAINT repayments_amount_minor_check CHECK (amount_minor > 0)
);

CREATE INDEX repayments_clawback_id_idx ON repayments (clawback_id);
