-- What accounts have verifiably learned, from enrollment's CertificateIssued; nothing else about a person is kept.
CREATE TABLE certificates (
    -- First in the key: what a recommendation reads is one account's, and the table would be distributed by it.
    account_id      uuid        NOT NULL,
    certificate_id  uuid        NOT NULL,
    course_title    text        NOT NULL,
    course_category text        NOT NULL,
    issue_time      timestamptz NOT NULL,
    CONSTRAINT certificates_pkey PRIMARY KEY (account_id, certificate_id)
);
