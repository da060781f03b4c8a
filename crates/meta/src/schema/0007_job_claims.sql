-- The claim that a job runs under: 16 random bytes, or NULL. Whoever ends a job names the claim, so that a runner whose claim ended
-- and was taken by another changes nothing. While a job is claimed, due_at is when the claim ends.
ALTER TABLE job ADD COLUMN claim BLOB;
-- When a job was given up, after too many failed attempts. A dead job runs again when it is asked for again, or `ecru jobs retry`.
ALTER TABLE job ADD COLUMN dead_at INTEGER;
-- How far the job has come, in words of its own; at most 1,024 bytes.
ALTER TABLE job ADD COLUMN progress TEXT;
UPDATE job SET due_at = claimed_until WHERE claimed_until IS NOT NULL;
-- Each kind is looked for by itself, so that a kind which only a newer program knows stands in nobody's way.
DROP INDEX job_by_due;
CREATE INDEX job_by_due ON job (kind, due_at) WHERE dead_at IS NULL;
CREATE INDEX job_dead ON job (kind, key) WHERE dead_at IS NOT NULL;
