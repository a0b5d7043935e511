-- How far each import has come, kept for ever: a stream that was cut goes on after last_row_number, and rows up to it
-- change nothing when they come again. Who opened the import and with which columns stands in request_ids.
CREATE TABLE imports (
    request_id      uuid        NOT NULL,
    -- For vacancies the portal.
    source          text        NOT NULL,
    -- The last row whose group is committed. Every group's transaction locks this row first, so that two streams of
    -- one import take turns and the second sees what the first has done.
    last_row_number bigint      NOT NULL,
    create_time     timestamptz NOT NULL,
    update_time     timestamptz NOT NULL,
    CONSTRAINT imports_pkey PRIMARY KEY (request_id),
    CONSTRAINT imports_last_row_number_check CHECK (last_row_number >= 0)
)
-- Updated once for each group of rows.
WITH (fillfactor = 50);

-- Which imports have been idle for long; small, since an import is one row.
CREATE INDEX imports_update_time_idx ON imports (update_time);
