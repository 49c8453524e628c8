-- Totals that are kept with each change: counting a million rows for every scrape of the metrics is not affordable.
-- Triggers and not the program, so that no way of writing a file can forget them.

CREATE TABLE totals (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    files      INTEGER NOT NULL, -- complete, parts not counted
    bytes      INTEGER NOT NULL, -- of these
    unfinished INTEGER NOT NULL  -- receiving or joining, parts counted
) STRICT;

INSERT INTO totals (one, files, bytes, unfinished)
SELECT 1,
       count(*) FILTER (WHERE state = 2 AND kind <> 1),
       coalesce(sum(length_bytes) FILTER (WHERE state = 2 AND kind <> 1), 0),
       count(*) FILTER (WHERE state IN (0, 1))
FROM files;

CREATE TRIGGER files_insert_totals AFTER INSERT ON files
BEGIN
    UPDATE totals SET
        files      = files + (NEW.state = 2 AND NEW.kind <> 1),
        bytes      = bytes + iif(NEW.state = 2 AND NEW.kind <> 1, NEW.length_bytes, 0),
        unfinished = unfinished + (NEW.state IN (0, 1))
    WHERE one = 1;
END;

CREATE TRIGGER files_update_totals AFTER UPDATE OF state ON files
WHEN NEW.state <> OLD.state
BEGIN
    UPDATE totals SET
        files      = files + (NEW.state = 2 AND NEW.kind <> 1),
        bytes      = bytes + iif(NEW.state = 2 AND NEW.kind <> 1, NEW.length_bytes, 0),
        unfinished = unfinished + (NEW.state IN (0, 1)) - (OLD.state IN (0, 1))
    WHERE one = 1;
END;

CREATE TRIGGER files_delete_totals AFTER DELETE ON files
BEGIN
    UPDATE totals SET
        files      = files - (OLD.state = 2 AND OLD.kind <> 1),
        bytes      = bytes - iif(OLD.state = 2 AND OLD.kind <> 1, OLD.length_bytes, 0),
        unfinished = unfinished - (OLD.state IN (0, 1))
    WHERE one = 1;
END;
