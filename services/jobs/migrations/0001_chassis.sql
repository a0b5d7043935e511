-- The answers to mutating requests, by the caller's request_id, kept for ever: a repeat gets the first answer byte for
-- byte, also after a restart. Each service owns a copy of this table; the text is equal in all five.
CREATE TABLE request_ids (
    -- Chosen by the caller. The primary key is also what makes two concurrent holders of one id wait for each other.
    request_id  uuid        NOT NULL,
    -- The full gRPC method, for whoever reads the table; the fingerprint covers it.
    method      text        NOT NULL,
    -- SHA-256 of method, caller and request: the same id with another fingerprint is refused.
    fingerprint bytea       NOT NULL,
    -- The encoded response message. Null only inside the transaction that does the work.
    answer      bytea,
    create_time timestamptz NOT NULL,
    CONSTRAINT request_ids_pkey PRIMARY KEY (request_id),
    CONSTRAINT request_ids_fingerprint_check CHECK (octet_length(fingerprint) = 32)
)
-- Every row is updated once, with its answer, right after its insertion: half a page stays free for that version.
WITH (fillfactor = 50);
