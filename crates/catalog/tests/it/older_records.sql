-- Records that fit every schema version: a small file, one that is received, one in two segments, and its like, failed.
INSERT INTO shares (share_no, share_id, share_key_hash, created_at, empty) VALUES
    (1, unhex(replace(hex(zeroblob(16)), '00', 'A1')), NULL, 1, 0),
    (2, unhex(replace(hex(zeroblob(16)), '00', 'A2')), unhex(replace(hex(zeroblob(32)), '00', 'A2')), 1, 0),
    (3, unhex(replace(hex(zeroblob(16)), '00', 'A3')), NULL, 1, 1);
INSERT INTO files (file_no, file_id, share_no, path, upload_key_hash, owner, metadata, kind, state, protocol,
    length_bytes, inline, crc64, created_at, updated_at, completed_at, downloads, failure) VALUES
    (1, unhex(replace(hex(zeroblob(16)), '00', '11')), 1, 'small.txt', NULL, 'a', '', 0, 2, 'plain', 3, 1, -1, 1, 1, 1, 0, NULL),
    (2, unhex(replace(hex(zeroblob(16)), '00', '22')), 2, 'b', NULL, 'a', '', 0, 0, 'tus', 100, 0, 0, 1, 1, NULL, 0, NULL),
    (3, unhex(replace(hex(zeroblob(16)), '00', '33')), 2, 'c', NULL, 'a', '', 0, 2, 'tus', 100, 0, 0, 1, 1, 2, 0, NULL),
    (4, unhex(replace(hex(zeroblob(16)), '00', '44')), 2, 'd', NULL, 'a', '', 1, 0, 'tus', NULL, 0, 0, 1, 1, NULL, 0, NULL);
INSERT INTO inline_bytes (file_no, bytes) VALUES (1, x'616263');
INSERT INTO uploads (file_no, offset_bytes, crc64, digest_state, updated_at, expires_at) VALUES
    (2, 50, 9, x'0708', 5, 99), (4, 0, 0, x'', 5, NULL);
INSERT INTO file_segments (file_no, position, segment_id, length_bytes, crc64) VALUES
    (3, 0, unhex(replace(hex(zeroblob(16)), '00', '51')), 60, 1),
    (3, 1, unhex(replace(hex(zeroblob(16)), '00', '52')), 40, 2);
