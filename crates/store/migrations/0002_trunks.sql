-- Trunks: the ways to and from the telephone network. Columns called *_json hold lists as JSON.

CREATE TABLE trunk (
    seq                      INTEGER PRIMARY KEY AUTOINCREMENT,
    id                       INTEGER NOT NULL UNIQUE,
    public_id                TEXT NOT NULL UNIQUE,
    account                  INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name                     TEXT NOT NULL,
    register                 INTEGER NOT NULL,
    hosts_json               TEXT NOT NULL,
    transport                TEXT,
    username                 TEXT,
    sealed_password          BLOB,
    inbound_username         TEXT,
    sealed_inbound_password  BLOB,
    inbound_networks_json    TEXT NOT NULL,
    routes_json              TEXT NOT NULL,
    shown_prefixes_json      TEXT NOT NULL,
    default_caller_id        TEXT,
    plus                     INTEGER NOT NULL,
    trusted                  INTEGER NOT NULL,
    from_domain              TEXT,
    max_calls                INTEGER NOT NULL,
    options_interval         INTEGER NOT NULL,
    expires                  INTEGER NOT NULL,
    enabled                  INTEGER NOT NULL,
    created                  INTEGER NOT NULL,
    updated                  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX trunk_name ON trunk (account, name);

-- How an account's people dial: the country whose numbers need no international prefix.
ALTER TABLE account ADD COLUMN country_code TEXT;
