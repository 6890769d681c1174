-- What an account, a domain or an endpoint asks of registrations beside the installation's settings; NULL: what is above
-- it says. `subject` is the id of what `scope` names. The triggers also run for rows that go by a cascade.

CREATE TABLE policy (
    scope                  TEXT NOT NULL,
    subject                INTEGER NOT NULL,
    account                INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    min_expires            INTEGER,
    default_expires        INTEGER,
    max_expires            INTEGER,
    max_bindings           INTEGER,
    digest_algorithm       TEXT,
    bind_nonces            INTEGER,
    refused_user_agents    TEXT,
    ping                   INTEGER,
    registration_url       TEXT,
    registration_method    TEXT,
    registration_refreshed INTEGER,
    PRIMARY KEY (scope, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX policy_of_account ON policy (account);

CREATE TRIGGER policy_of_domain AFTER DELETE ON domain BEGIN
    DELETE FROM policy WHERE scope = 'domain' AND subject = OLD.id;
END;
CREATE TRIGGER policy_of_endpoint AFTER DELETE ON endpoint BEGIN
    DELETE FROM policy WHERE scope = 'endpoint' AND subject = OLD.id;
END;
