-- Times are seconds since 1970. A code is known by its hash only.
CREATE TABLE node (
    key             BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    enrolled_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE enrol_code (
    hash           BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    created_unix_s INTEGER NOT NULL,
    expires_unix_s INTEGER NOT NULL,
    used_unix_s    INTEGER,
    used_by        BLOB REFERENCES node (key),
    CHECK ((used_unix_s IS NULL) = (used_by IS NULL))
) STRICT, WITHOUT ROWID;
