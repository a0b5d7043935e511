-- Events on their way out (outbox) and events already taken in (inbox).
-- The canonical text: every service carries a byte-equal copy, a later change is a new file in all of them.

-- An event waits here from the commit of the change it tells about until the broker has confirmed it, then it is
-- deleted: the table is a queue, normally empty, with every row inserted and deleted once and never updated.
CREATE TABLE outbox (
    -- Taken while the writer holds its subject's row lock, and without a cache (the default), so that within one
    -- subject the order of the numbers is the order of the commits. Across subjects it is not: a lower number may
    -- become visible later, so nobody may read "everything above the last one seen".
    sequence bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    -- All events of a subject are in one lane; a relay works on a lane alone. The expression must never change while
    -- rows are waiting: one subject in two lanes has no order.
    lane smallint NOT NULL GENERATED ALWAYS AS ((hashtext(subject) & 15)::smallint) STORED,
    id uuid NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    -- When it happened, by the service's clock, which may be moved in test stacks.
    time timestamptz NOT NULL,
    -- When the row was written, by the database's clock: the age of the oldest row is the lag of the relay.
    append_time timestamptz NOT NULL DEFAULT now(),
    traceparent text,
    body bytea NOT NULL,
    -- The one index: the relay reads the head of a lane in order, and deletes by the same key. No unique key on id,
    -- because ids are made by the server at random and a second index would double the cost of every event.
    CONSTRAINT outbox_pkey PRIMARY KEY (lane, sequence),
    CONSTRAINT outbox_type_check CHECK (type <> ''),
    CONSTRAINT outbox_subject_check CHECK (subject <> '')
) WITH (
    -- Rows are never updated, so no room is left on the pages for new versions of them.
    fillfactor = 100,
    -- Every row dies within milliseconds, and the head of each lane is where the dead index entries gather. Vacuum by
    -- count, not by share of a table that is nearly empty by design, and without pausing.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0,
    -- Statistics taken while the queue is empty would suggest a sequential scan for ever; few and seldom is enough.
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    -- Bodies of bulk events are some 100 kB and are pushed out of line: their pieces die as fast.
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_cost_delay = 0
);

-- Event bodies are protobuf with ids and hashes: compressing them costs time and gains little.
ALTER TABLE outbox ALTER COLUMN body SET STORAGE EXTERNAL;

-- One row per event that took effect here, written in the transaction of the effect. A row may be deleted when its
-- event can no longer come again: when neither a producer's outbox nor a queue can still hold a copy.
CREATE TABLE inbox (
    -- The queue's name without the producer's part would do; the whole name costs little and reads better.
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    receive_time timestamptz NOT NULL DEFAULT now(),
    -- Event ids are version 7, so that inserts go to the right edge of the index.
    CONSTRAINT inbox_pkey PRIMARY KEY (consumer, event_id)
) WITH (
    -- Insert only: without this, the first vacuum that sets the visibility map would come far too late.
    autovacuum_vacuum_insert_scale_factor = 0.05
);

-- For deleting by age. The rows arrive in the order of time, so a block range index of some kB is enough.
CREATE INDEX inbox_receive_time_idx ON inbox USING brin (receive_time);
