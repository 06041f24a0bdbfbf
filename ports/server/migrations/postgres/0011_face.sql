-- Which account may use which service of a device by the browser face, and with which grants.
CREATE TABLE face_rule (
    label          TEXT NOT NULL,
    account        BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    device         BYTEA NOT NULL REFERENCES node (key) ON DELETE CASCADE,
    service        TEXT NOT NULL,
    chain          BYTEA NOT NULL,
    created_unix_s BIGINT NOT NULL,
    PRIMARY KEY (label, account)
);
CREATE INDEX face_rule_account ON face_rule (account);
CREATE INDEX face_rule_device ON face_rule (device);
