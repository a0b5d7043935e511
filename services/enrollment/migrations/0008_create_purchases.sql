-- Courses bought from training balances: each row is a saga over catalog and payout.
CREATE TABLE purchases (
    purchase_id       uuid        NOT NULL,
    participation_id  uuid        NOT NULL,
    account_id        uuid        NOT NULL,
    run_id            uuid        NOT NULL,
    -- What the seat's hold told, from then on.
    course_id         uuid,
    provider_id       uuid,
    course_title      text,
    course_category   text,
    price_minor       bigint,
    currency          char(3),
    run_start_time    timestamptz,
    run_end_time      timestamptz,
    state             text        NOT NULL,
    -- The step to be taken next. HOLD_SEAT, HOLD_FUNDS, CONFIRM_SEAT, CAPTURE_FUNDS lead to COMPLETED; a definite refusal
    -- leads over RELEASE_FUNDS and RELEASE_SEAT to FAILED. Each step may be taken twice without harm.
    step              text        NOT NULL,
    failure_reason    text,
    redeem_code       text,
    redeem_time       timestamptz,
    create_time       timestamptz NOT NULL,
    end_time          timestamptz,
    -- When the sweeper takes it up, and how often a peer was away.
    next_attempt_time timestamptz NOT NULL,
    attempt_count     integer     NOT NULL DEFAULT 0,
    CONSTRAINT purchases_pkey PRIMARY KEY (purchase_id),
    CONSTRAINT purchases_participation_id_fkey FOREIGN KEY (participation_id)
        REFERENCES participations (participation_id),
    CONSTRAINT purchases_redeem_code_key UNIQUE (redeem_code),
    CONSTRAINT purchases_state_check CHECK (state IN ('PENDING', 'COMPLETED', 'FAILED')),
    CONSTRAINT purchases_step_check CHECK (step IN
        ('HOLD_SEAT', 'HOLD_FUNDS', 'CONFIRM_SEAT', 'CAPTURE_FUNDS', 'RELEASE_FUNDS', 'RELEASE_SEAT', 'DONE')),
    CONSTRAINT purchases_done_check CHECK ((state = 'PENDING') = (step <> 'DONE')),
    CONSTRAINT purchases_end_check CHECK ((state = 'PENDING') = (end_time IS NULL)),
    CONSTRAINT purchases_redeem_check CHECK ((state = 'COMPLETED') = (redeem_code IS NOT NULL)),
    CONSTRAINT purchases_failure_check CHECK (
        (failure_reason IS NOT NULL) = (state = 'FAILED' OR step IN ('RELEASE_FUNDS', 'RELEASE_SEAT'))),
    CONSTRAINT purchases_hold_check CHECK (
        step IN ('HOLD_SEAT', 'RELEASE_SEAT') OR state = 'FAILED'
        OR num_nulls(course_id, provider_id, course_title, course_category, price_minor, currency, run_start_time,
                     run_end_time) = 0)
)
WITH (fillfactor = 60);
-- One purchase at a time.
CREATE UNIQUE INDEX purchases_pending_key ON purchases (participation_id) WHERE state = 'PENDING';
CREATE INDEX purchases_participation_id_purchase_id_idx ON purchases (participation_id, purchase_id);
-- The sweeper.
CREATE INDEX purchases_next_attempt_time_idx ON purchases (next_attempt_time) WHERE state = 'PENDING';
