-- The same tables and columns as SQLite's newest: the server's queries are written once. Times are
-- seconds since 1970, yes is 1 and no 0, lists are JSON. What is secret is known by its hash only.

-- Numbers that are given out in the order in which what they number can be seen.
CREATE TABLE counter (
    name  TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counter (name, value) VALUES
    ('account', 0), ('delivery', 0), ('event', 0), ('instance', 0), ('mail', 0), ('profile', 0),
    ('session', 0), ('webhook', 0);

-- A running server, and when it last said so.
CREATE TABLE instance (
    id             BIGINT NOT NULL PRIMARY KEY,
    started_unix_s BIGINT NOT NULL,
    seen_unix_s    BIGINT NOT NULL
);

-- What is too long for a notification between instances.
CREATE TABLE mail (
    id          BIGINT NOT NULL PRIMARY KEY,
    instance    BIGINT NOT NULL,
    made_unix_s BIGINT NOT NULL,
    payload     BYTEA NOT NULL
);

CREATE TABLE account (
    id             BIGINT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    password_hash  TEXT,
    oidc_subject   TEXT UNIQUE,
    totp           BYTEA,
    totp_is_on     BIGINT NOT NULL DEFAULT 0,
    totp_step      BIGINT NOT NULL DEFAULT 0,
    role           TEXT NOT NULL,
    is_disabled    BIGINT NOT NULL DEFAULT 0,
    created_unix_s BIGINT NOT NULL
);

-- Devices with the profile's product key enrol themselves, until there are as many as the limit.
CREATE TABLE profile (
    id             BIGINT NOT NULL PRIMARY KEY,
    name           TEXT NOT NULL UNIQUE,
    key_hash       BYTEA NOT NULL UNIQUE CHECK (length(key_hash) = 32),
    device_limit   BIGINT NOT NULL,
    used           BIGINT NOT NULL DEFAULT 0,
    tags           TEXT NOT NULL DEFAULT '[]',
    services       TEXT NOT NULL DEFAULT '[]',
    name_pattern   TEXT NOT NULL DEFAULT '',
    created_unix_s BIGINT NOT NULL,
    CHECK (used <= device_limit)
);

CREATE TABLE node (
    key             BYTEA NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    enrolled_unix_s BIGINT NOT NULL,
    profile BIGINT REFERENCES profile (id) ON DELETE SET NULL,
    name TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '[]',
    services TEXT NOT NULL DEFAULT '[]',
    firmware TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    is_online BIGINT NOT NULL DEFAULT 0,
    seen_unix_s BIGINT,
    -- Which server has its link.
    instance BIGINT,
    last_error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX node_instance ON node (instance);

CREATE TABLE enrol_code (
    hash           BYTEA NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    created_unix_s BIGINT NOT NULL,
    expires_unix_s BIGINT NOT NULL,
    used_unix_s    BIGINT,
    used_by        BYTEA REFERENCES node (key),
    profile        BIGINT REFERENCES profile (id) ON DELETE SET NULL,
    CHECK ((used_unix_s IS NULL) = (used_by IS NULL))
);

CREATE TABLE client (
    key            BYTEA NOT NULL PRIMARY KEY REFERENCES node (key) ON DELETE CASCADE,
    account        BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_unix_s BIGINT NOT NULL,
    seen_unix_s    BIGINT NOT NULL
);
CREATE INDEX client_account ON client (account);

-- What a device said of its owner, and the newest revocation list that the owner signed.
CREATE TABLE trust (
    device      BYTEA NOT NULL PRIMARY KEY REFERENCES node (key) ON DELETE CASCADE,
    owner       BYTEA CHECK (length(owner) = 32),
    epoch       BIGINT NOT NULL,
    list_number BIGINT NOT NULL DEFAULT 0,
    list        BYTEA
);
CREATE INDEX trust_owner ON trust (owner);

CREATE TABLE grants (
    id             BYTEA NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    device         BYTEA NOT NULL REFERENCES node (key) ON DELETE CASCADE,
    issuer         BYTEA NOT NULL,
    subject        BYTEA NOT NULL,
    chain          BYTEA NOT NULL,
    note           TEXT NOT NULL DEFAULT '',
    created_unix_s BIGINT NOT NULL,
    begins_unix_s  BIGINT,
    expires_unix_s BIGINT
);
CREATE INDEX grants_device ON grants (device);
CREATE INDEX grants_subject ON grants (subject);

-- A contact is used once: the database would notice.
CREATE TABLE session (
    id              BIGINT NOT NULL PRIMARY KEY,
    contact         BYTEA NOT NULL UNIQUE,
    initiator       BYTEA NOT NULL,
    device          BYTEA NOT NULL,
    instance        BIGINT NOT NULL,
    at_unix_s       BIGINT NOT NULL,
    reported_unix_s BIGINT,
    path            TEXT NOT NULL DEFAULT '',
    rtt_us          BIGINT,
    sent_bytes      BIGINT,
    received_bytes  BIGINT,
    lost_packets    BIGINT,
    error           TEXT NOT NULL DEFAULT ''
);
CREATE INDEX session_device ON session (device, id);
CREATE INDEX session_at ON session (at_unix_s);

CREATE TABLE event (
    id        BIGINT NOT NULL PRIMARY KEY,
    at_unix_s BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    device    BYTEA,
    account   BIGINT,
    detail    TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX event_at ON event (at_unix_s);
CREATE INDEX event_device ON event (device, id);

CREATE TABLE webhook (
    id             BIGINT NOT NULL PRIMARY KEY,
    account        BIGINT REFERENCES account (id) ON DELETE CASCADE,
    url            TEXT NOT NULL,
    events         TEXT NOT NULL DEFAULT '[]',
    secret         BYTEA NOT NULL,
    is_disabled    BIGINT NOT NULL DEFAULT 0,
    created_unix_s BIGINT NOT NULL,
    -- Events up to this one are in the queue or done.
    last_event     BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE delivery (
    id          BIGINT NOT NULL PRIMARY KEY,
    webhook     BIGINT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event       BIGINT NOT NULL,
    tries       BIGINT NOT NULL DEFAULT 0,
    due_unix_s  BIGINT NOT NULL,
    last_status TEXT NOT NULL DEFAULT '',
    UNIQUE (webhook, event)
);
CREATE INDEX delivery_due ON delivery (due_unix_s);

CREATE TABLE api_token (
    hash           BYTEA NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    account        BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    key            BYTEA,
    created_unix_s BIGINT NOT NULL,
    expires_unix_s BIGINT NOT NULL
);
CREATE INDEX api_token_expires ON api_token (expires_unix_s);

CREATE TABLE nonce (
    nonce          BYTEA NOT NULL PRIMARY KEY,
    expires_unix_s BIGINT NOT NULL
);
