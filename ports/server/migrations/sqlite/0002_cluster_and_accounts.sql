-- The same tables and columns as PostgreSQL's 0001: the server's queries are written once. Times are
-- seconds since 1970, yes is 1 and no 0, lists are JSON. What is secret is known by its hash only.

-- Numbers that are given out in the order in which what they number can be seen.
CREATE TABLE counter (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter (name, value) VALUES
    ('account', 0), ('delivery', 0), ('event', 0), ('instance', 0), ('mail', 0), ('profile', 0),
    ('session', 0), ('webhook', 0);

-- A running server, and when it last said so.
CREATE TABLE instance (
    id             INTEGER NOT NULL PRIMARY KEY,
    started_unix_s INTEGER NOT NULL,
    seen_unix_s    INTEGER NOT NULL
) STRICT;

-- What is too long for a notification between instances.
CREATE TABLE mail (
    id          INTEGER NOT NULL PRIMARY KEY,
    instance    INTEGER NOT NULL,
    made_unix_s INTEGER NOT NULL,
    payload     BLOB NOT NULL
) STRICT;

CREATE TABLE account (
    id             INTEGER NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    password_hash  TEXT,
    oidc_subject   TEXT UNIQUE,
    totp           BLOB,
    totp_is_on     INTEGER NOT NULL DEFAULT 0,
    totp_step      INTEGER NOT NULL DEFAULT 0,
    role           TEXT NOT NULL,
    is_disabled    INTEGER NOT NULL DEFAULT 0,
    created_unix_s INTEGER NOT NULL
) STRICT;

-- Devices with the profile's product key enrol themselves, until there are as many as the limit.
CREATE TABLE profile (
    id             INTEGER NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    key_hash       BLOB NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    device_limit   INTEGER NOT NULL,
    used           INTEGER NOT NULL DEFAULT 0,
    tags           TEXT NOT NULL DEFAULT '[]',
    services       TEXT NOT NULL DEFAULT '[]',
    name_pattern   TEXT NOT NULL DEFAULT '',
    created_unix_s INTEGER NOT NULL,
    CHECK (used <= device_limit)
) STRICT;

ALTER TABLE enrol_code ADD COLUMN profile INTEGER REFERENCES profile (id) ON DELETE SET NULL;

ALTER TABLE node ADD COLUMN profile INTEGER REFERENCES profile (id) ON DELETE SET NULL;
ALTER TABLE node ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE node ADD COLUMN services TEXT NOT NULL DEFAULT '[]';
ALTER TABLE node ADD COLUMN firmware TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN is_online INTEGER NOT NULL DEFAULT 0;
ALTER TABLE node ADD COLUMN seen_unix_s INTEGER;
-- Which server has its link.
ALTER TABLE node ADD COLUMN instance INTEGER;
ALTER TABLE node ADD COLUMN last_error TEXT NOT NULL DEFAULT '';
CREATE INDEX node_instance ON node (instance);

CREATE TABLE client (
    key            BLOB NOT NULL PRIMARY KEY REFERENCES node (key) ON DELETE CASCADE,
    account        INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_unix_s INTEGER NOT NULL,
    seen_unix_s    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX client_account ON client (account);

-- What a device said of its owner, and the newest revocation list that the owner signed.
CREATE TABLE trust (
    device      BLOB NOT NULL PRIMARY KEY REFERENCES node (key) ON DELETE CASCADE,
    owner       BLOB CHECK (length(owner) = 32),
    epoch       INTEGER NOT NULL,
    list_number INTEGER NOT NULL DEFAULT 0,
    list        BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX trust_owner ON trust (owner);

CREATE TABLE grants (
    id             BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    device         BLOB NOT NULL REFERENCES node (key) ON DELETE CASCADE,
    issuer         BLOB NOT NULL,
    subject        BLOB NOT NULL,
    chain          BLOB NOT NULL,
    note           TEXT NOT NULL DEFAULT '',
    created_unix_s INTEGER NOT NULL,
    begins_unix_s  INTEGER,
    expires_unix_s INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_device ON grants (device);
CREATE INDEX grants_subject ON grants (subject);

-- A contact is used once: the database would notice.
CREATE TABLE session (
    id              INTEGER NOT NULL PRIMARY KEY,
    contact         BLOB NOT NULL UNIQUE,
    initiator       BLOB NOT NULL,
    device          BLOB NOT NULL,
    instance        INTEGER NOT NULL,
    at_unix_s       INTEGER NOT NULL,
    reported_unix_s INTEGER,
    path            TEXT NOT NULL DEFAULT '',
    rtt_us          INTEGER,
    sent_bytes      INTEGER,
    received_bytes  INTEGER,
    lost_packets    INTEGER,
    error           TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX session_device ON session (device, id);
CREATE INDEX session_at ON session (at_unix_s);

CREATE TABLE event (
    id        INTEGER NOT NULL PRIMARY KEY,
    at_unix_s INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    device    BLOB,
    account   INTEGER,
    detail    TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX event_at ON event (at_unix_s);
CREATE INDEX event_device ON event (device, id);

CREATE TABLE webhook (
    id             INTEGER NOT NULL PRIMARY KEY,
    account        INTEGER REFERENCES account (id) ON DELETE CASCADE,
    url            TEXT NOT NULL,
    events         TEXT NOT NULL DEFAULT '[]',
    secret         BLOB NOT NULL,
    is_disabled    INTEGER NOT NULL DEFAULT 0,
    created_unix_s INTEGER NOT NULL,
    -- Events up to this one are in the queue or done.
    last_event     INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE delivery (
    id          INTEGER NOT NULL PRIMARY KEY,
    webhook     INTEGER NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event       INTEGER NOT NULL,
    tries       INTEGER NOT NULL DEFAULT 0,
    due_unix_s  INTEGER NOT NULL,
    last_status TEXT NOT NULL DEFAULT '',
    UNIQUE (webhook, event)
) STRICT;
CREATE INDEX delivery_due ON delivery (due_unix_s);

CREATE TABLE api_token (
    hash           BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    account        INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    key            BLOB,
    created_unix_s INTEGER NOT NULL,
    expires_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX api_token_expires ON api_token (expires_unix_s);

CREATE TABLE nonce (
    nonce          BLOB NOT NULL PRIMARY KEY,
    expires_unix_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
