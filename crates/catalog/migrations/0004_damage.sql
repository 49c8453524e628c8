-- What is known to be wrong with a complete file: bytes that are missing, or that are not those which arrived. Such a
-- file is told as damaged, and no digest is ever computed of it.

ALTER TABLE files ADD COLUMN damage TEXT;

DROP INDEX files_without_digest;
CREATE INDEX files_without_digest ON files (completed_at)
    WHERE state = 2 AND kind <> 1 AND blake3 IS NULL AND damage IS NULL;

ALTER TABLE totals ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0; -- complete, parts counted

CREATE TRIGGER files_only_complete_is_damaged BEFORE UPDATE OF damage ON files
WHEN NEW.damage IS NOT NULL AND OLD.state <> 2
BEGIN SELECT RAISE(ABORT, 'only a complete file is damaged'); END;

CREATE TRIGGER files_damage_totals AFTER UPDATE OF damage ON files
WHEN (OLD.damage IS NULL) <> (NEW.damage IS NULL)
BEGIN
    UPDATE totals SET damaged = damaged + (NEW.damage IS NOT NULL) - (OLD.damage IS NOT NULL) WHERE one = 1;
END;

CREATE TRIGGER files_delete_damage_totals AFTER DELETE ON files
WHEN OLD.damage IS NOT NULL
BEGIN
    UPDATE totals SET damaged = damaged - 1 WHERE one = 1;
END;
