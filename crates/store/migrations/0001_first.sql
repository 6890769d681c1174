-- The nouns. `seq` is the order of creation (lists are newest first); `id` is the random key that other rows and
-- customers use. Times are microseconds since 1970-01-01 UTC. BLOB columns called sealed_* are AES-256-GCM (seal.rs).

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    seq                     INTEGER PRIMARY KEY AUTOINCREMENT,
    id                      INTEGER NOT NULL UNIQUE,
    auth_id                 TEXT NOT NULL UNIQUE,
    sealed_auth_token       BLOB NOT NULL,
    bandwidth_user          TEXT NOT NULL UNIQUE,
    bandwidth_token_hash    BLOB NOT NULL UNIQUE,
    sealed_bandwidth_token  BLOB NOT NULL,
    sealed_bandwidth_secret BLOB NOT NULL,
    name                    TEXT NOT NULL,
    parent                  INTEGER REFERENCES account (id),
    domain                  INTEGER NOT NULL,
    trunk                   TEXT,
    allow_external_callers  INTEGER NOT NULL,
    enabled                 INTEGER NOT NULL,
    created                 INTEGER NOT NULL
) STRICT;

CREATE TABLE domain (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          INTEGER NOT NULL UNIQUE,
    public_id   TEXT NOT NULL UNIQUE,
    account     INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    sip_domain  TEXT NOT NULL UNIQUE,
    realm       TEXT NOT NULL,
    description TEXT,
    kind        TEXT NOT NULL,
    created     INTEGER NOT NULL
) STRICT;
CREATE INDEX domain_of_account ON domain (account, kind, seq);

CREATE TABLE application (
    seq                  INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   INTEGER NOT NULL UNIQUE,
    public_id            TEXT NOT NULL UNIQUE,
    account              INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    flavor               TEXT NOT NULL,
    name                 TEXT NOT NULL,
    kind                 TEXT NOT NULL,
    answer_url           TEXT,
    answer_method        TEXT NOT NULL,
    hangup_url           TEXT,
    hangup_method        TEXT NOT NULL,
    fallback_url         TEXT,
    fallback_method      TEXT NOT NULL,
    message_url          TEXT,
    message_method       TEXT NOT NULL,
    default_number_app   INTEGER NOT NULL,
    default_endpoint_app INTEGER NOT NULL,
    public_uri           INTEGER NOT NULL,
    log_incoming         INTEGER NOT NULL,
    enabled              INTEGER NOT NULL,
    extra                TEXT NOT NULL,
    created              INTEGER NOT NULL,
    updated              INTEGER NOT NULL
) STRICT;
CREATE INDEX application_of_account ON application (account, seq);
-- Only one application of an account holds each flag.
CREATE UNIQUE INDEX application_default_number ON application (account) WHERE default_number_app = 1;
CREATE UNIQUE INDEX application_default_endpoint ON application (account) WHERE default_endpoint_app = 1;

CREATE TABLE endpoint (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              INTEGER NOT NULL UNIQUE,
    public_id       TEXT NOT NULL UNIQUE,
    account         INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    flavor          TEXT NOT NULL,
    domain          INTEGER NOT NULL REFERENCES domain (id) ON DELETE CASCADE,
    user            TEXT NOT NULL,
    submitted_user  TEXT NOT NULL,
    label           TEXT NOT NULL,
    description     TEXT,
    sealed_password BLOB NOT NULL,
    application     INTEGER REFERENCES application (id) ON DELETE SET NULL,
    enabled         INTEGER NOT NULL,
    ring            TEXT NOT NULL,
    permissions     INTEGER NOT NULL,
    created         INTEGER NOT NULL,
    updated         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX endpoint_name ON endpoint (domain, user);
CREATE INDEX endpoint_of_account ON endpoint (account, seq);
CREATE INDEX endpoint_of_application ON endpoint (application) WHERE application IS NOT NULL;

-- No foreign key: a binding that races with the deletion of its endpoint must not fail the batch it travels in.
-- Orphans are removed at start.
CREATE TABLE binding (
    endpoint   INTEGER NOT NULL,
    key        TEXT NOT NULL,
    contact    TEXT NOT NULL,
    call_id    TEXT NOT NULL,
    cseq       INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    logged_in  INTEGER NOT NULL,
    transport  TEXT NOT NULL,
    local      TEXT NOT NULL,
    remote     TEXT NOT NULL,
    flow       INTEGER NOT NULL,
    path       TEXT,
    user_agent TEXT NOT NULL,
    q          INTEGER NOT NULL,
    instance   TEXT,
    PRIMARY KEY (endpoint, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE call (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid            TEXT NOT NULL UNIQUE,
    account         INTEGER NOT NULL,
    parent          TEXT,
    leg             INTEGER NOT NULL,
    flavor          TEXT NOT NULL,
    direction       TEXT NOT NULL,
    from_number     TEXT NOT NULL,
    to_number       TEXT NOT NULL,
    endpoint        INTEGER,
    application     INTEGER,
    call_id         TEXT NOT NULL,
    source_ip       TEXT,
    started         INTEGER NOT NULL,
    rang            INTEGER,
    answered        INTEGER,
    ended           INTEGER,
    bill_duration   INTEGER NOT NULL,
    billed_duration INTEGER NOT NULL,
    status          TEXT NOT NULL,
    cause_code      INTEGER,
    cause_name      TEXT,
    switch_cause    TEXT,
    source          TEXT,
    sip_status      INTEGER,
    hangup_url      TEXT,
    hangup_method   TEXT NOT NULL,
    extra           TEXT NOT NULL
) STRICT;
CREATE INDEX call_ended ON call (account, ended, seq);
CREATE INDEX call_parent ON call (parent) WHERE parent IS NOT NULL;
CREATE INDEX call_open ON call (seq) WHERE ended IS NULL;

-- Outbox: what a customer's server has still to be told.
CREATE TABLE callback (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    account  INTEGER NOT NULL,
    call     TEXT,
    flavor   TEXT NOT NULL,
    url      TEXT NOT NULL,
    method   TEXT NOT NULL,
    body     TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at  INTEGER NOT NULL,
    created  INTEGER NOT NULL
) STRICT;
CREATE INDEX callback_due ON callback (next_at, id);
