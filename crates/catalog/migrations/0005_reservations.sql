-- Since when space is reserved for an upload to which no byte has come. Such a reservation ends after some minutes: one
-- request without a body must not hold the whole disk for a day. Reservations from before this version end with their upload.

ALTER TABLE uploads ADD COLUMN reserved_at INTEGER;

CREATE INDEX uploads_by_reservation ON uploads (reserved_at) WHERE reserved_at IS NOT NULL;
