-- Sources that are not answered for a while, so that a restart does not let them in again.
CREATE TABLE block (
    source TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    strikes INTEGER NOT NULL,
    until  INTEGER NOT NULL
) STRICT;
