-- Times in which anyone with an account takes courses without a draw.
CREATE TABLE campaigns (
    campaign_id   text        NOT NULL,
    display_name  text        NOT NULL,
    start_time    timestamptz NOT NULL,
    end_time      timestamptz NOT NULL,
    age_min_years integer     NOT NULL,
    create_time   timestamptz NOT NULL,
    CONSTRAINT campaigns_pkey PRIMARY KEY (campaign_id),
    CONSTRAINT campaigns_end_time_check CHECK (end_time > start_time),
    CONSTRAINT campaigns_age_min_years_check CHECK (age_min_years BETWEEN 0 AND 150)
);

-- Rights to one seat each: a small saga over catalog.
CREATE TABLE vouchers (
    voucher_id        uuid        NOT NULL,
    campaign_id       text        NOT NULL,
    account_id        uuid        NOT NULL,
    run_id            uuid        NOT NULL,
    -- Known once the seat is held.
    course_id         uuid,
    state             text        NOT NULL,
    -- HOLD_SEAT, CONFIRM_SEAT lead to ISSUED; a definite refusal leads over RELEASE_SEAT to FAILED.
    step              text        NOT NULL,
    failure_reason    text,
    voucher_code      text,
    create_time       timestamptz NOT NULL,
    next_attempt_time timestamptz NOT NULL,
    attempt_count     integer     NOT NULL DEFAULT 0,
    CONSTRAINT vouchers_pkey PRIMARY KEY (voucher_id),
    CONSTRAINT vouchers_campaign_id_fkey FOREIGN KEY (campaign_id) REFERENCES campaigns (campaign_id),
    CONSTRAINT vouchers_voucher_code_key UNIQUE (voucher_code),
    CONSTRAINT vouchers_state_check CHECK (state IN ('PENDING', 'ISSUED', 'FAILED')),
    CONSTRAINT vouchers_step_check CHECK (step IN ('HOLD_SEAT', 'CONFIRM_SEAT', 'RELEASE_SEAT', 'DONE')),
    CONSTRAINT vouchers_done_check CHECK ((state = 'PENDING') = (step <> 'DONE')),
    CONSTRAINT vouchers_voucher_code_check CHECK ((state = 'ISSUED') = (voucher_code IS NOT NULL)),
    CONSTRAINT vouchers_failure_check CHECK ((failure_reason IS NOT NULL) = (state = 'FAILED' OR step = 'RELEASE_SEAT'))
);
-- One voucher a person, campaign and course; a claim that failed does not count. The run's index already refuses two
-- claims that come at once, before the course is known.
CREATE UNIQUE INDEX vouchers_run_id_key ON vouchers (campaign_id, account_id, run_id) WHERE failure_reason IS NULL;
CREATE UNIQUE INDEX vouchers_course_id_key ON vouchers (campaign_id, account_id, course_id) WHERE failure_reason IS NULL;
CREATE INDEX vouchers_next_attempt_time_idx ON vouchers (next_attempt_time) WHERE state = 'PENDING';
