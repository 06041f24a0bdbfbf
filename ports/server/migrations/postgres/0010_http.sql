-- Failed logins, by the hash of an account's name or of an address.
CREATE TABLE login_try (
    subject      BYTEA NOT NULL PRIMARY KEY CHECK (length(subject) = 32),
    failures     BIGINT NOT NULL,
    last_unix_s  BIGINT NOT NULL,
    until_unix_s BIGINT NOT NULL
);
CREATE INDEX login_try_last ON login_try (last_unix_s);

-- The ownership that a grant is of: those of an earlier one are worth nothing.
ALTER TABLE grants ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
