-- One text for both engines. PostgreSQL reads INTEGER as BIGINT, BLOB as BYTEA, TEXT as TEXT COLLATE "C", and no STRICT.
-- Ids are UUIDv7 (16 bytes). Times are microseconds since 1970 UTC. Booleans are 0 and 1. Digests are one algorithm byte
-- (1 sha256, 2 sha512) and the raw hash. Account and region are part of every natural key.

-- Numbered root keys that this store was opened with; `proof` shows whether a given key is the one of its number.
CREATE TABLE root_key (
    number INTEGER PRIMARY KEY,
    proof BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE account (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;

-- Long-term credentials. `secret` is sealed by the root key.
CREATE TABLE access_key (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    principal TEXT NOT NULL, -- the unique id of who holds it; the account id itself for the root principal
    secret BLOB NOT NULL,
    active INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX access_key_by_principal ON access_key (account, principal);

CREATE TABLE account_setting (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT;

CREATE TABLE repository (
    id BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    tag_mutability TEXT NOT NULL,
    mutability_filters TEXT NOT NULL, -- wildcards, one a line
    scan_on_push INTEGER NOT NULL,
    encryption TEXT NOT NULL,         -- the encryption identity: 'AES256', later a KMS key's ARN
    protected INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;
CREATE UNIQUE INDEX repository_living ON repository (account, region, name) WHERE deleted_at IS NULL;

CREATE TABLE resource_tag (
    repository_id BLOB NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (repository_id, key)
) STRICT;

CREATE TABLE image (
    id BLOB PRIMARY KEY,
    repository_id BLOB NOT NULL,
    digest BLOB NOT NULL,
    media_type TEXT NOT NULL,
    artifact_type TEXT,               -- artifactType, else the media type of the config
    subject BLOB,
    platform TEXT,                    -- os/architecture/variant/os.version of its config, where known
    manifest_size INTEGER NOT NULL,
    image_size INTEGER NOT NULL,
    tag_count INTEGER NOT NULL,
    storage_class TEXT NOT NULL,      -- 'STANDARD', later 'ARCHIVE'
    pushed_at INTEGER NOT NULL,
    archived_at INTEGER,
    activated_at INTEGER,
    deleted_at INTEGER
) STRICT;
CREATE UNIQUE INDEX image_living ON image (repository_id, digest) WHERE deleted_at IS NULL;
CREATE INDEX image_by_push ON image (repository_id, pushed_at, digest) WHERE deleted_at IS NULL;
CREATE INDEX image_untagged ON image (repository_id, pushed_at, digest) WHERE deleted_at IS NULL AND tag_count = 0;
CREATE INDEX image_by_subject ON image (repository_id, subject, id) WHERE deleted_at IS NULL AND subject IS NOT NULL;

CREATE TABLE manifest (
    image_id BLOB PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

-- Beside the image, because a pull must not contend for its row.
CREATE TABLE image_pull (
    image_id BLOB PRIMARY KEY,
    pulled_at INTEGER NOT NULL
) STRICT;

CREATE TABLE tag (
    repository_id BLOB NOT NULL,
    name TEXT NOT NULL,
    image_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    moved_at INTEGER NOT NULL,
    -- The push window of ECR.md R: who may still close this tag with an index, and until when.
    window_principal TEXT,
    window_until INTEGER,
    PRIMARY KEY (repository_id, name)
) STRICT;
CREATE INDEX tag_by_image ON tag (image_id, name);

-- What an index lists.
CREATE TABLE image_child (
    image_id BLOB NOT NULL,
    digest BLOB NOT NULL,
    repository_id BLOB NOT NULL,
    PRIMARY KEY (image_id, digest)
) STRICT;
CREATE INDEX image_child_by_digest ON image_child (repository_id, digest);

CREATE TABLE layer (
    id BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    encryption TEXT NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    location BLOB,                    -- where its bytes lie; NULL: in layer_data
    data_key BLOB,                    -- sealed; NULL: the storage's own encryption
    storage_class TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    unreferenced_since INTEGER        -- start of the grace; NULL while an image points at it
) STRICT;
CREATE UNIQUE INDEX layer_by_digest ON layer (account, region, encryption, digest);
CREATE UNIQUE INDEX layer_by_location ON layer (location) WHERE location IS NOT NULL;
CREATE INDEX layer_unreferenced ON layer (unreferenced_since) WHERE unreferenced_since IS NOT NULL;

CREATE TABLE layer_data (
    layer_id BLOB PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

-- What an image stands on: its config and its layers. These rows are the references that collection obeys.
CREATE TABLE image_layer (
    image_id BLOB NOT NULL,
    layer_id BLOB NOT NULL,
    PRIMARY KEY (image_id, layer_id)
) STRICT;
CREATE INDEX image_layer_by_layer ON image_layer (layer_id);

-- What a repository shows. Not a reference: it goes with the layer's record.
CREATE TABLE repository_layer (
    repository_id BLOB NOT NULL,
    digest BLOB NOT NULL,
    layer_id BLOB NOT NULL,
    media_type TEXT,                  -- as the last manifest that named it said
    PRIMARY KEY (repository_id, digest)
) STRICT;
CREATE INDEX repository_layer_by_layer ON repository_layer (layer_id);

CREATE TABLE upload (
    id BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    repository_id BLOB NOT NULL,
    state TEXT NOT NULL,              -- 'open', 'complete', 'cancelled'
    turn INTEGER NOT NULL,            -- raised by each request that takes the session
    received INTEGER NOT NULL,        -- durable bytes
    parts INTEGER NOT NULL,
    small_part INTEGER NOT NULL,      -- 0: none; 1: the last part was below the minimum; 2: such a part was followed by another
    location BLOB,
    hash_state BLOB NOT NULL,
    engine_state BLOB NOT NULL,
    digest BLOB,                      -- of a complete one, for a replayed PUT
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE event (
    id BLOB PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    repository_id BLOB,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    digest BLOB,
    tag TEXT,
    detail TEXT NOT NULL,             -- JSON: before and after
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX event_by_repository ON event (repository_id, id);

CREATE TABLE job (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    claimed_until INTEGER,
    last_error TEXT,
    PRIMARY KEY (kind, key)
) STRICT;
CREATE INDEX job_by_due ON job (due_at);
