-- What each client has unfinished, kept with each change: one client must not have all the uploads, or all the space, that there
-- may be, and to count its rows for every upload that it makes is not affordable.
-- Triggers and not the program, so that no way of writing a file can forget them.

CREATE TABLE owners (
    owner          TEXT    PRIMARY KEY,
    unfinished     INTEGER NOT NULL, -- receiving or joining, parts counted; never 0
    promised_bytes INTEGER NOT NULL  -- the lengths of these, where they are known
) STRICT, WITHOUT ROWID;

INSERT INTO owners (owner, unfinished, promised_bytes)
SELECT owner, count(*), coalesce(sum(length_bytes), 0) FROM files WHERE state IN (0, 1) GROUP BY owner;

CREATE TRIGGER files_insert_owners AFTER INSERT ON files
WHEN NEW.state IN (0, 1)
BEGIN
    INSERT INTO owners (owner, unfinished, promised_bytes) VALUES (NEW.owner, 1, coalesce(NEW.length_bytes, 0))
    ON CONFLICT (owner) DO UPDATE SET
        unfinished     = unfinished + 1,
        promised_bytes = promised_bytes + excluded.promised_bytes;
END;

CREATE TRIGGER files_length_owners AFTER UPDATE OF length_bytes ON files
WHEN NEW.state IN (0, 1) AND OLD.state IN (0, 1) AND NEW.length_bytes IS NOT OLD.length_bytes
BEGIN
    UPDATE owners SET
        promised_bytes = promised_bytes + coalesce(NEW.length_bytes, 0) - coalesce(OLD.length_bytes, 0)
    WHERE owner = NEW.owner;
END;

-- A file that is complete or failed is never unfinished again.
CREATE TRIGGER files_finish_owners AFTER UPDATE OF state ON files
WHEN OLD.state IN (0, 1) AND NEW.state NOT IN (0, 1)
BEGIN
    UPDATE owners SET
        unfinished     = unfinished - 1,
        promised_bytes = promised_bytes - coalesce(OLD.length_bytes, 0)
    WHERE owner = OLD.owner;
    DELETE FROM owners WHERE owner = OLD.owner AND unfinished = 0;
END;

CREATE TRIGGER files_delete_owners AFTER DELETE ON files
WHEN OLD.state IN (0, 1)
BEGIN
    UPDATE owners SET
        unfinished     = unfinished - 1,
        promised_bytes = promised_bytes - coalesce(OLD.length_bytes, 0)
    WHERE owner = OLD.owner;
    DELETE FROM owners WHERE owner = OLD.owner AND unfinished = 0;
END;
