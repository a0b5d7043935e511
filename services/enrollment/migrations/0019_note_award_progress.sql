-- An award that was interrupted goes on later: who awards or freezes another batch of the programme asks when it last did.
ALTER TABLE batches
    -- When its newest winners became participants.
    ADD COLUMN last_award_time timestamptz;

UPDATE batches SET last_award_time = award_time WHERE award_time IS NOT NULL;

ALTER TABLE batches
    ADD CONSTRAINT batches_last_award_time_check CHECK (last_award_time IS NULL OR award_time IS NOT NULL);
