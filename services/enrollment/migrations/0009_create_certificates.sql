-- Courses that were finished and proved: one per purchase, written once.
CREATE TABLE certificates (
    certificate_id           uuid        NOT NULL,
    -- Printed and looked up; not to be guessed.
    number                   text        NOT NULL,
    purchase_id              uuid        NOT NULL,
    participation_id         uuid        NOT NULL,
    account_id               uuid        NOT NULL,
    -- Whether it is the participation's first: the one that the incentive rests on.
    first                    boolean     NOT NULL,
    attendance_permille      integer     NOT NULL,
    pre_test_score           integer     NOT NULL,
    post_test_score          integer     NOT NULL,
    practical_assignment_uri text        NOT NULL,
    trainer_feedback_time    timestamptz NOT NULL,
    issue_time               timestamptz NOT NULL,
    CONSTRAINT certificates_pkey PRIMARY KEY (certificate_id),
    CONSTRAINT certificates_number_key UNIQUE (number),
    CONSTRAINT certificates_purchase_id_key UNIQUE (purchase_id),
    CONSTRAINT certificates_purchase_id_fkey FOREIGN KEY (purchase_id) REFERENCES purchases (purchase_id),
    CONSTRAINT certificates_attendance_permille_check CHECK (attendance_permille BETWEEN 0 AND 1000),
    CONSTRAINT certificates_pre_test_score_check CHECK (pre_test_score BETWEEN 0 AND 100),
    CONSTRAINT certificates_post_test_score_check CHECK (post_test_score BETWEEN 0 AND 100)
);
-- At most one first certificate a participation.
CREATE UNIQUE INDEX certificates_first_key ON certificates (participation_id) WHERE first;
CREATE INDEX certificates_account_id_certificate_id_idx ON certificates (account_id, certificate_id);
CREATE TRIGGER certificates_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON certificates
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What holders say of the courses: once per certificate.
CREATE TABLE reviews (
    certificate_id uuid        NOT NULL,
    stars          integer     NOT NULL,
    -- The text is the person's own; it is stored here alone and stands in no event.
    text           text        NOT NULL,
    create_time    timestamptz NOT NULL,
    CONSTRAINT reviews_pkey PRIMARY KEY (certificate_id),
    CONSTRAINT reviews_certificate_id_fkey FOREIGN KEY (certificate_id) REFERENCES certificates (certificate_id),
    CONSTRAINT reviews_stars_check CHECK (stars BETWEEN 1 AND 5)
);
