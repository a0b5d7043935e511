-- Payments to persons: batches that two people stand for, and their lines.

CREATE TABLE disbursement_batches (
    id uuid NOT NULL,
    currency char(3) NOT NULL,
    -- Lines that are not cancelled, and their sum.
    line_count bigint NOT NULL,
    total_minor bigint NOT NULL,
    state text NOT NULL,
    maker text NOT NULL,
    approver text,
    create_time timestamptz NOT NULL,
    approve_time timestamptz,
    CONSTRAINT disbursement_batches_pkey PRIMARY KEY (id),
    CONSTRAINT disbursement_batches_line_count_check CHECK (line_count >= 0 AND total_minor >= 0),
    CONSTRAINT disbursement_batches_state_check CHECK (state IN ('PENDING_APPROVAL', 'APPROVED')),
    -- Two different people, whatever a program says.
    CONSTRAINT disbursement_batches_approver_check CHECK (approver <> maker),
    CONSTRAINT disbursement_batches_approve_time_check CHECK (
        (state = 'APPROVED') = (approver IS NOT NULL) AND (state = 'APPROVED') = (approve_time IS NOT NULL)
    )
);

CREATE TABLE disbursements (
    -- Version 7: the order of the ids is the order of the list.
    id uuid NOT NULL,
    participation_id uuid NOT NULL,
    account_id uuid NOT NULL,
    batch text NOT NULL,
    benefit text NOT NULL,
    instalment integer NOT NULL,
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    state text NOT NULL,
    failure_reason text,
    due_time timestamptz NOT NULL,
    -- Counts payment orders. A resend is the same order under the same reference; a new order, and with it a new
    -- reference, is made only after the rail has refused the one before for good.
    attempt integer NOT NULL DEFAULT 1,
    disbursement_batch_id uuid,
    -- The account that the order in hand goes to, fixed when it is first sent.
    payee_account_id uuid,
    -- When the order was last sent.
    send_time timestamptz,
    inquiry_count integer NOT NULL DEFAULT 0,
    -- When the rail is asked about an order without a clear answer. Set together with SENT, before the call, so that
    -- a line whose process died in the call is asked about like any other.
    next_inquiry_time timestamptz,
    settle_time timestamptz,
    create_time timestamptz NOT NULL,
    CONSTRAINT disbursements_pkey PRIMARY KEY (id),
    -- The business key: one right, one row, one payment.
    CONSTRAINT disbursements_participation_id_benefit_instalment_key UNIQUE (participation_id, benefit, instalment),
    CONSTRAINT disbursements_participation_id_fkey FOREIGN KEY (participation_id)
        REFERENCES participation_funds (participation_id),
    CONSTRAINT disbursements_disbursement_batch_id_fkey FOREIGN KEY (disbursement_batch_id)
        REFERENCES disbursement_batches (id),
    CONSTRAINT disbursements_payee_account_id_fkey FOREIGN KEY (payee_account_id) REFERENCES payee_accounts (id),
    CONSTRAINT disbursements_amount_minor_check CHECK (amount_minor > 0),
    CONSTRAINT disbursements_instalment_check CHECK (instalment > 0 AND attempt > 0),
    CONSTRAINT disbursements_state_check CHECK (state IN (
        'READY', 'BATCHED', 'APPROVED', 'SENT', 'UNKNOWN', 'SETTLED', 'FAILED', 'CANCELLED'
    )),
    CONSTRAINT disbursements_disbursement_batch_id_check CHECK (
        state IN ('READY', 'CANCELLED') OR disbursement_batch_id IS NOT NULL
    ),
    CONSTRAINT disbursements_send_time_check CHECK (
        state NOT IN ('SENT', 'UNKNOWN', 'SETTLED', 'FAILED') OR (send_time IS NOT NULL AND payee_account_id IS NOT NULL)
    ),
    CONSTRAINT disbursements_next_inquiry_time_check CHECK (
        (state IN ('SENT', 'UNKNOWN')) = (next_inquiry_time IS NOT NULL)
    ),
    CONSTRAINT disbursements_settle_time_check CHECK ((state = 'SETTLED') = (settle_time IS NOT NULL)),
    CONSTRAINT disbursements_failure_reason_check CHECK (state <> 'FAILED' OR failure_reason IS NOT NULL)
)
WITH (fillfactor = 70);

CREATE INDEX disbursements_account_id_id_idx ON disbursements (account_id, id);
CREATE INDEX disbursements_disbursement_batch_id_idx ON disbursements (disbursement_batch_id);
-- The queues of the workers hold the waiting lines alone.
CREATE INDEX disbursements_ready_idx ON disbursements (currency, due_time, id) WHERE state = 'READY';
CREATE INDEX disbursements_approved_idx ON disbursements (id) WHERE state = 'APPROVED';
CREATE INDEX disbursements_next_inquiry_time_idx ON disbursements (next_inquiry_time) WHERE state IN ('SENT', 'UNKNOWN');
-- For the count in a batch's statement.
CREATE INDEX disbursements_settled_idx ON disbursements (batch) WHERE state = 'SETTLED';

-- Paid is paid, and an ended right stays ended.
CREATE TRIGGER disbursements_ended BEFORE UPDATE ON disbursements FOR EACH ROW
    WHEN (OLD.state IN ('SETTLED', 'CANCELLED')) EXECUTE FUNCTION refuse_ended();
