-- Shares, files, and where the bytes of files are.
--
-- Rows have a short number of their own beside the random id: every other table refers to that, and as numbers grow,
-- a new row goes to the end of its table. Only the indexes on random ids are written all over.
--
-- What changes with every checkpoint (table uploads) is apart from what stays, and so are inline bytes: a checkpoint
-- rewrites one short row, and a listing reads no file's bytes.

CREATE TABLE shares (
    share_no       INTEGER PRIMARY KEY,
    share_id       BLOB    NOT NULL UNIQUE CHECK (length(share_id) = 16),
    share_key_hash BLOB    CHECK (length(share_key_hash) = 32), -- NULL: no key
    created_at     INTEGER NOT NULL,
    empty          INTEGER NOT NULL CHECK (empty IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX shares_by_key ON shares (share_key_hash) WHERE share_key_hash IS NOT NULL;
CREATE INDEX shares_empty ON shares (created_at) WHERE empty = 1;

-- kind: 0 whole, 1 partial, 2 final. state: 0 receiving, 1 joining, 2 complete, 3 failed.
-- A crc64 is the 64 bits of an unsigned number.
CREATE TABLE files (
    file_no         INTEGER PRIMARY KEY,
    file_id         BLOB    NOT NULL UNIQUE CHECK (length(file_id) = 16),
    share_no        INTEGER NOT NULL REFERENCES shares,
    path            TEXT    NOT NULL,
    upload_key_hash BLOB    CHECK (length(upload_key_hash) = 32), -- NULL: no key
    delete_key_hash BLOB    CHECK (length(delete_key_hash) = 32), -- NULL: no key
    owner           TEXT    NOT NULL,
    content_type    TEXT,
    metadata        TEXT    NOT NULL,
    kind            INTEGER NOT NULL CHECK (kind IN (0, 1, 2)),
    state           INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3)),
    protocol        TEXT    NOT NULL,
    length_bytes    INTEGER CHECK (length_bytes >= 0),
    inline          INTEGER NOT NULL CHECK (inline IN (0, 1)),
    crc64           INTEGER NOT NULL, -- of a complete file
    blake3          BLOB    CHECK (length(blake3) = 32),
    sha256          BLOB    CHECK (length(sha256) = 32),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL, -- of a complete or failed file
    completed_at    INTEGER,
    expires_at      INTEGER, -- of a complete file
    max_downloads   INTEGER CHECK (max_downloads >= 0),
    downloads       INTEGER NOT NULL CHECK (downloads >= 0),
    failure         TEXT,
    UNIQUE (share_no, path),
    CHECK (state <> 1 OR kind = 2),
    CHECK (state <> 0 OR kind <> 2),
    CHECK (state <> 2 OR (length_bytes IS NOT NULL AND completed_at IS NOT NULL)),
    CHECK (inline = 0 OR state = 2),
    CHECK (inline = 0 OR kind <> 1 OR length_bytes = 0)
) STRICT;
CREATE UNIQUE INDEX files_by_upload_key ON files (upload_key_hash) WHERE upload_key_hash IS NOT NULL;
CREATE UNIQUE INDEX files_by_delete_key ON files (delete_key_hash) WHERE delete_key_hash IS NOT NULL;
CREATE INDEX files_by_expiry ON files (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX files_unfinished ON files (file_id) WHERE state IN (0, 1);
CREATE INDEX files_without_digest ON files (completed_at) WHERE state = 2 AND kind <> 1 AND blake3 IS NULL;

-- One row for each file that is not complete.
CREATE TABLE uploads (
    file_no      INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE,
    offset_bytes INTEGER NOT NULL CHECK (offset_bytes >= 0),
    crc64        INTEGER NOT NULL,
    digest_state BLOB    NOT NULL,
    updated_at   INTEGER NOT NULL,
    expires_at   INTEGER
) STRICT;
CREATE INDEX uploads_by_expiry ON uploads (expires_at) WHERE expires_at IS NOT NULL;

-- The bytes of each file with inline = 1.
CREATE TABLE inline_bytes (
    file_no INTEGER PRIMARY KEY REFERENCES files ON DELETE CASCADE,
    bytes   BLOB NOT NULL
) STRICT;

CREATE TABLE file_segments (
    file_no      INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    segment_id   BLOB    NOT NULL CHECK (length(segment_id) = 16),
    length_bytes INTEGER NOT NULL CHECK (length_bytes >= 0),
    crc64        INTEGER NOT NULL,
    PRIMARY KEY (file_no, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_segments_by_id ON file_segments (segment_id);

CREATE TABLE file_parts (
    file_no      INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    part_file_id BLOB    NOT NULL CHECK (length(part_file_id) = 16),
    PRIMARY KEY (file_no, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_parts_by_id ON file_parts (part_file_id);

-- Segments whose bytes are to be deleted.
CREATE TABLE doomed_segments (
    doomed_no  INTEGER PRIMARY KEY,
    segment_id BLOB    NOT NULL UNIQUE CHECK (length(segment_id) = 16)
) STRICT;

-- The rules of states, once more for whoever writes past the program.
CREATE TRIGGER uploads_offset_never_goes_back BEFORE UPDATE OF offset_bytes ON uploads
WHEN NEW.offset_bytes < OLD.offset_bytes
BEGIN SELECT RAISE(ABORT, 'an offset never goes back'); END;

CREATE TRIGGER uploads_only_receiving_is_checkpointed BEFORE UPDATE OF offset_bytes, digest_state ON uploads
WHEN NEW.digest_state <> x'' AND (SELECT state FROM files WHERE file_no = OLD.file_no) <> 0
BEGIN SELECT RAISE(ABORT, 'only a receiving file is checkpointed'); END;

CREATE TRIGGER files_ended_is_final BEFORE UPDATE OF
    file_id, share_no, path, kind, state, length_bytes, inline, crc64, completed_at ON files
WHEN OLD.state IN (2, 3)
BEGIN SELECT RAISE(ABORT, 'a complete or failed file does not change'); END;

CREATE TRIGGER files_digest_is_set_once BEFORE UPDATE OF blake3, sha256 ON files
WHEN OLD.state = 2 AND ((OLD.blake3 IS NOT NULL AND NEW.blake3 IS NOT OLD.blake3)
                     OR (OLD.sha256 IS NOT NULL AND NEW.sha256 IS NOT OLD.sha256))
BEGIN SELECT RAISE(ABORT, 'a known digest does not change'); END;
