-- Where public money comes from and which batch it was given to. The amounts here say what was ordered; how much is
-- left stands in the ledger alone.

CREATE TABLE appropriations (
    -- The caller's, the part of the name behind `appropriations/`.
    id text NOT NULL,
    fiscal_year integer NOT NULL,
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT appropriations_pkey PRIMARY KEY (id),
    CONSTRAINT appropriations_id_check CHECK (id ~ '^[a-z0-9-]{1,40}$'),
    CONSTRAINT appropriations_amount_minor_check CHECK (amount_minor > 0)
);

-- A batch has one currency: that of the first money that came in.
CREATE TABLE batch_budgets (
    batch text NOT NULL,
    currency char(3) NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT batch_budgets_pkey PRIMARY KEY (batch)
);

CREATE TABLE allotments (
    id uuid NOT NULL,
    appropriation_id text NOT NULL,
    batch text NOT NULL,
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT allotments_pkey PRIMARY KEY (id),
    CONSTRAINT allotments_appropriation_id_fkey FOREIGN KEY (appropriation_id) REFERENCES appropriations (id),
    CONSTRAINT allotments_batch_fkey FOREIGN KEY (batch) REFERENCES batch_budgets (batch),
    CONSTRAINT allotments_amount_minor_check CHECK (amount_minor > 0)
);

CREATE TABLE reallocations (
    -- Version 7: the order of the ids is the order of the list.
    id uuid NOT NULL,
    source_batch text NOT NULL,
    target_batch text NOT NULL,
    amount_minor bigint NOT NULL,
    currency char(3) NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT reallocations_pkey PRIMARY KEY (id),
    CONSTRAINT reallocations_source_batch_fkey FOREIGN KEY (source_batch) REFERENCES batch_budgets (batch),
    CONSTRAINT reallocations_target_batch_fkey FOREIGN KEY (target_batch) REFERENCES batch_budgets (batch),
    CONSTRAINT reallocations_batches_check CHECK (source_batch <> target_batch),
    CONSTRAINT reallocations_amount_minor_check CHECK (amount_minor > 0)
);

-- A batch's list holds what left it and what came in.
CREATE INDEX reallocations_source_batch_id_idx ON reallocations (source_batch, id);
CREATE INDEX reallocations_target_batch_id_idx ON reallocations (target_batch, id);
