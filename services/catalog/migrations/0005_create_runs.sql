-- The holdings of courses, with their seats. Some hundred thousand rows; those on sale are hot.
CREATE TABLE runs (
    id               uuid        NOT NULL,
    course_id        uuid        NOT NULL,
    seat_count       bigint      NOT NULL,
    -- Kept by the triggers on seat_holds, so that it cannot drift from the holds.
    taken_seat_count bigint      NOT NULL DEFAULT 0,
    start_time       timestamptz NOT NULL,
    end_time         timestamptz NOT NULL,
    -- The course's price when the run was created: what a buyer was shown does not change under him.
    price_minor      bigint      NOT NULL,
    currency         char(3)     NOT NULL,
    create_time      timestamptz NOT NULL,
    CONSTRAINT runs_pkey PRIMARY KEY (id),
    CONSTRAINT runs_course_id_fkey FOREIGN KEY (course_id) REFERENCES courses (id),
    CONSTRAINT runs_seat_count_check CHECK (seat_count BETWEEN 1 AND 10000000),
    -- The promise that seats are never oversold, whatever the code does.
    CONSTRAINT runs_taken_seat_count_check CHECK (taken_seat_count BETWEEN 0 AND seat_count),
    CONSTRAINT runs_end_time_check CHECK (start_time < end_time),
    CONSTRAINT runs_price_check CHECK (price_minor >= 0)
)
-- The count changes with every batch of holds and stands in no index: half a page stays free for the next versions.
WITH (fillfactor = 50);

CREATE INDEX runs_course_id_id_idx ON runs (course_id, id);
