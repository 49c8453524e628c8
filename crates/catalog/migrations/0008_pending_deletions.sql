-- Segments whose bytes are to be deleted, by the word that the program has for them.
ALTER TABLE doomed_segments RENAME TO pending_deletions;
ALTER TABLE pending_deletions RENAME COLUMN doomed_no TO deletion_no;

-- What only its upload's key opens has a column of its own, and stands no longer behind a line break
-- in what is told to anyone with the upload's URL.
ALTER TABLE files ADD COLUMN sealed_metadata TEXT;

UPDATE files SET
    sealed_metadata = substr(metadata, instr(metadata, char(10)) + 1),
    metadata        = substr(metadata, 1, instr(metadata, char(10)) - 1)
WHERE instr(metadata, char(10)) > 0;
