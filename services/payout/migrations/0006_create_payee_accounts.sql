-- Where persons are paid. A row never changes but for its end: a payment under way points at the account that it was
-- sent to, whatever the person has linked since.

CREATE TABLE payee_accounts (
    id uuid NOT NULL,
    account_id uuid NOT NULL,
    channel text NOT NULL,
    -- Number and holder's name, encrypted together (AES-256-GCM-SIV) and bound to this row.
    sealed bytea NOT NULL,
    -- HMAC-SHA-256 of channel and number: says that two persons gave the same account, and nothing else.
    number_hash bytea NOT NULL,
    number_suffix text NOT NULL,
    link_time timestamptz NOT NULL,
    -- When another one took its place; null while it is in force.
    replace_time timestamptz,
    CONSTRAINT payee_accounts_pkey PRIMARY KEY (id),
    CONSTRAINT payee_accounts_number_hash_check CHECK (octet_length(number_hash) = 32),
    CONSTRAINT payee_accounts_number_suffix_check CHECK (char_length(number_suffix) <= 3)
);

-- One in force per person, and one person per account in force.
CREATE UNIQUE INDEX payee_accounts_account_id_key ON payee_accounts (account_id) WHERE replace_time IS NULL;
CREATE UNIQUE INDEX payee_accounts_number_hash_key ON payee_accounts (number_hash) WHERE replace_time IS NULL;
