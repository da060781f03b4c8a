-- What is deleted goes for good when its window has ended; its layers are then collected.
CREATE INDEX image_deleted ON image (deleted_at, id) WHERE deleted_at IS NOT NULL;
CREATE INDEX repository_deleted ON repository (deleted_at, id) WHERE deleted_at IS NOT NULL;

-- The tags that an image had when it was deleted.
CREATE TABLE deleted_tag (
    image_id BLOB NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (image_id, name)
) STRICT;
-- A digest may have been deleted several times.
CREATE INDEX image_deleted_by_digest ON image (repository_id, digest, deleted_at) WHERE deleted_at IS NOT NULL;

CREATE INDEX image_deleted_by_subject ON image (repository_id, subject, digest) WHERE deleted_at IS NOT NULL AND subject IS NOT NULL;
CREATE INDEX repository_deleted_by_name ON repository (account, region, name, deleted_at) WHERE deleted_at IS NOT NULL;

-- Who reads the bytes of all layers, such as a backup. While a row stands here no layer is collected.
CREATE TABLE store_hold (
    id BLOB PRIMARY KEY,
    until INTEGER NOT NULL            -- a hold whose holder is gone ends by itself
) STRICT;
CREATE INDEX store_hold_by_end ON store_hold (until);
