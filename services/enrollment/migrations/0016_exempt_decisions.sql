-- What granted appeals had taken from the rules when a decision was made; without it a decision could not be made again.
ALTER TABLE decisions ADD COLUMN exemptions text[] NOT NULL DEFAULT '{}';
