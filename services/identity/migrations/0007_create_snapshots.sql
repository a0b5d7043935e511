-- Snapshots of exclusion lists as they arrive. A cut stream goes on after the last stored chunk.
CREATE TABLE snapshots (
    -- The caller's id of the import; what its header said stands in request_ids as well.
    request_id uuid NOT NULL,
    list_id text NOT NULL,
    snapshot_date date NOT NULL,
    kind text NOT NULL,
    -- Moved in the transaction of its chunk. The row's lock makes two streams of one import take turns.
    last_chunk_number bigint NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    -- When it took effect.
    end_time timestamptz,
    CONSTRAINT snapshots_pkey PRIMARY KEY (request_id),
    CONSTRAINT snapshots_list_id_fkey FOREIGN KEY (list_id) REFERENCES exclusion_lists (id),
    CONSTRAINT snapshots_kind_check CHECK (kind IN ('FULL', 'INCREMENTAL')),
    CONSTRAINT snapshots_last_chunk_number_check CHECK (last_chunk_number >= 0)
)
WITH (fillfactor = 50);

-- For finding the imports that nobody continues; holds the open ones alone.
CREATE INDEX snapshots_update_time_idx ON snapshots (update_time) WHERE end_time IS NULL;

-- The rows of snapshots that have not taken effect yet, a row for each message: five million ids are five hundred rows,
-- written and deleted at the cost of as many. Logged, because an import that was told that a chunk is stored goes on
-- after it, also behind a crash.
CREATE TABLE snapshot_chunks (
    request_id uuid NOT NULL,
    chunk_number bigint NOT NULL,
    listed_hashes bytea[] NOT NULL,
    lifted_hashes bytea[] NOT NULL,
    CONSTRAINT snapshot_chunks_pkey PRIMARY KEY (request_id, chunk_number)
);

-- Hashes do not compress; trying costs time.
ALTER TABLE snapshot_chunks ALTER COLUMN listed_hashes SET STORAGE EXTERNAL;
ALTER TABLE snapshot_chunks ALTER COLUMN lifted_hashes SET STORAGE EXTERNAL;

-- The persons whom a snapshot concerns, from where the events about them are told in pages: a list may name everybody.
-- Rows live within one transaction, so that nothing is lost with a crash.
CREATE UNLOGGED TABLE snapshot_hits (
    request_id uuid NOT NULL,
    account_id uuid NOT NULL,
    is_listed boolean NOT NULL,
    CONSTRAINT snapshot_hits_pkey PRIMARY KEY (request_id, account_id)
);
