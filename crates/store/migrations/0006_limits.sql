-- What an account or an endpoint may use of the telephone network; NULL or no prefixes: no limit.
CREATE TABLE limits (
    kind             TEXT NOT NULL,
    owner            INTEGER NOT NULL,
    concurrent_calls INTEGER,
    calls_per_second INTEGER,
    minutes_per_day  INTEGER,
    prefixes         TEXT NOT NULL,
    PRIMARY KEY (kind, owner)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER limits_of_endpoint AFTER DELETE ON endpoint
BEGIN
    DELETE FROM limits WHERE kind = 'endpoint' AND owner = OLD.id;
END;
CREATE TRIGGER limits_of_account AFTER DELETE ON account
BEGIN
    DELETE FROM limits WHERE kind = 'account' AND owner = OLD.id;
END;
