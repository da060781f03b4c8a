-- When a layer's bytes were found missing or wrong; it then counts as missing until it is pushed again. NULL: they are good, as far
-- as is known.
ALTER TABLE layer ADD COLUMN damaged_at INTEGER;
-- Checksums of the layer's blocks (crates/blob/src/checksum.rs). NULL: the layer is from before version 6, and `ecru verify --bytes`
-- adds them. The last column, because a large value is read from front to back.
ALTER TABLE layer ADD COLUMN checksums BLOB;
-- The same for the bytes that a session has received. NULL: the session began before version 6, or has ended.
ALTER TABLE upload ADD COLUMN checksums BLOB;
-- They can't be compressed, and so a part of them is read alone.
--postgresql ALTER TABLE layer ALTER COLUMN checksums SET STORAGE EXTERNAL;
--postgresql ALTER TABLE upload ALTER COLUMN checksums SET STORAGE EXTERNAL;
