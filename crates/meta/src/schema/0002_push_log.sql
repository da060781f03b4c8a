-- Where the call came from that made a change. NULL in events of version 1.
ALTER TABLE event ADD COLUMN source TEXT;
ALTER TABLE event ADD COLUMN user_agent TEXT;
ALTER TABLE event ADD COLUMN request_id TEXT;

-- What was pushed to a repository, newest first.
CREATE INDEX event_push ON event (repository_id, id) WHERE kind = 'image.push';

-- Pushes that were refused: a ring for each repository. The same refusal again is the same row, counted.
CREATE TABLE push_refusal (
    repository_id BLOB NOT NULL,
    same BLOB NOT NULL,               -- a hash of what makes two refusals the same
    id BLOB NOT NULL,                 -- of the last one
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    times INTEGER NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,             -- 'PUT manifest', 'UploadLayerPart' and the like
    tag TEXT,
    digest BLOB,
    status INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (repository_id, same)
) STRICT;
CREATE UNIQUE INDEX push_refusal_by_id ON push_refusal (repository_id, id);
