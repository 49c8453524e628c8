-- How often this catalog was opened, or began its log anew. The same number is in a file beside it, so that a catalog
-- that was put back from an older copy, or lost its log, is told from the one that was there.

CREATE TABLE generation (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL CHECK (number >= 0)
) STRICT;

INSERT INTO generation (one, number) VALUES (1, 0);
