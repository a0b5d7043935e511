-- Somebody's access to the programme: how to reach them and how they sign in. E-mail address and phone number are
-- readable here, because the account is found and reached by them; no other service has them.
CREATE TABLE accounts (
    -- Version 7, so that the order of the ids is the order of creation, which lists page by.
    id uuid NOT NULL,
    -- In lower case: the unique key below compares bytes.
    email text NOT NULL,
    -- E.164. Several accounts without a phone number do not collide, since NULLs are distinct.
    phone text,
    -- Argon2id in PHC form, which carries its own parameters; NULL for an account that cannot sign in by password.
    password_hash text,
    state text NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (id),
    -- The two decide who gets an address when several registrations meet, also those of one statement.
    CONSTRAINT accounts_email_key UNIQUE (email),
    CONSTRAINT accounts_phone_key UNIQUE (phone),
    CONSTRAINT accounts_email_check CHECK (email = lower(email) AND email <> ''),
    CONSTRAINT accounts_phone_check CHECK (phone LIKE '+%'),
    CONSTRAINT accounts_state_check CHECK (state IN ('ACTIVE', 'BLOCKED'))
);
