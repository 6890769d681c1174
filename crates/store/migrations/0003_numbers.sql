-- Telephone numbers that lead to applications: E.164 digits, each one of exactly one account.

CREATE TABLE number (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          INTEGER NOT NULL UNIQUE,
    public_id   TEXT NOT NULL UNIQUE,
    number      TEXT NOT NULL UNIQUE,
    account     INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    application INTEGER REFERENCES application (id) ON DELETE SET NULL,
    alias       TEXT,
    carrier     TEXT,
    region      TEXT,
    kind        TEXT NOT NULL,
    created     INTEGER NOT NULL,
    updated     INTEGER NOT NULL
) STRICT;
CREATE INDEX number_of_account ON number (account, seq);
CREATE INDEX number_of_application ON number (application) WHERE application IS NOT NULL;
