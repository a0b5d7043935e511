-- How far each import has come. A cut stream goes on after the last committed row.
CREATE TABLE imports (
    -- The caller's id of the import; what its header said stands in request_ids.
    request_id      uuid        NOT NULL,
    source          text        NOT NULL,
    -- Moved in the transaction of its rows. Its row lock makes two streams of one import take turns.
    last_row_number bigint      NOT NULL DEFAULT 0,
    create_time     timestamptz NOT NULL,
    update_time     timestamptz NOT NULL,
    CONSTRAINT imports_pkey PRIMARY KEY (request_id),
    CONSTRAINT imports_last_row_number_check CHECK (last_row_number >= 0)
)
WITH (fillfactor = 50);

-- Which feed a course comes from, and the row that stated it last. A table of its own: it is written for every row of
-- every import, and an update beside the search vector would cost an index entry for each word.
CREATE TABLE course_feeds (
    course_id  uuid   NOT NULL,
    source     text   NOT NULL,
    request_id uuid   NOT NULL,
    row_number bigint NOT NULL,
    CONSTRAINT course_feeds_pkey PRIMARY KEY (course_id),
    CONSTRAINT course_feeds_course_id_fkey FOREIGN KEY (course_id) REFERENCES courses (id),
    CONSTRAINT course_feeds_request_id_fkey FOREIGN KEY (request_id) REFERENCES imports (request_id)
)
WITH (fillfactor = 50);
