-- Which account may use which service of a device by the browser face, and with which grants.
CREATE TABLE face_rule (
    label          TEXT NOT NULL,
    account        INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    device         BLOB NOT NULL REFERENCES node (key) ON DELETE CASCADE,
    service        TEXT NOT NULL,
    chain          BLOB NOT NULL,
    created_unix_s INTEGER NOT NULL,
    PRIMARY KEY (label, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX face_rule_account ON face_rule (account);
CREATE INDEX face_rule_device ON face_rule (device);
