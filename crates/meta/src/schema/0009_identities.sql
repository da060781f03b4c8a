-- What IAM has in an account: users, groups, roles, instance profiles and managed policies. Names are unique without regard to case.
CREATE TABLE iam_entity (
    id TEXT PRIMARY KEY,              -- the unique id, such as AIDA… of a user
    account TEXT NOT NULL,
    kind TEXT NOT NULL,               -- 'user', 'group', 'role', 'instance-profile', 'policy'
    lower_name TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    description TEXT,                 -- of roles and policies
    trust_policy TEXT,                -- of roles
    max_session INTEGER,              -- of roles, in seconds
    default_version INTEGER,          -- of policies
    last_version INTEGER              -- of policies: the highest number that was ever given
) STRICT;
CREATE UNIQUE INDEX iam_entity_by_name ON iam_entity (account, kind, lower_name);

CREATE TABLE iam_tag (
    entity_id TEXT NOT NULL,
    lower_key TEXT NOT NULL,          -- the keys of a user or a role are unique without regard to case
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (entity_id, lower_key)
) STRICT;

CREATE TABLE iam_inline_policy (
    entity_id TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (entity_id, name)
) STRICT;

CREATE TABLE iam_policy_version (
    policy_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    document TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (policy_id, number)
) STRICT;

-- Managed policies on users, groups and roles. The policies of AWS have ids too, which only the program knows.
CREATE TABLE iam_attachment (
    entity_id TEXT NOT NULL,
    purpose TEXT NOT NULL,            -- 'permissions', or 'boundary', of which an entity has at most one
    policy_id TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (entity_id, purpose, policy_id)
) STRICT;
CREATE INDEX iam_attachment_by_policy ON iam_attachment (account, policy_id, purpose, entity_id);

-- The users of groups, and the role of an instance profile.
CREATE TABLE iam_member (
    container_id TEXT NOT NULL,
    member_id TEXT NOT NULL,
    PRIMARY KEY (container_id, member_id)
) STRICT;
CREATE INDEX iam_member_by_member ON iam_member (member_id, container_id);

-- When and for what a credential was last used. Beside access_key and iam_entity, because a call must not contend for their rows.
CREATE TABLE credential_use (
    id TEXT PRIMARY KEY,              -- an access key id, or the unique id of a role
    account TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    service TEXT NOT NULL,
    region TEXT NOT NULL
) STRICT;

-- The service control policies of an account. They limit every principal of it.
CREATE TABLE control_policy (
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account, name)
) STRICT;

-- Sessions of STS. A row is kept while a docker token that the session fetched may live, which can be longer than the session.
CREATE TABLE sts_session (
    access_key_id TEXT PRIMARY KEY,   -- ASIA…
    account TEXT NOT NULL,
    principal TEXT NOT NULL,          -- the unique id of the role or user; the account id itself for the root principal
    kind TEXT NOT NULL,               -- 'role', 'session-token', 'federation'
    name TEXT NOT NULL,               -- of the role session or the federated user, else empty
    made_by TEXT NOT NULL,            -- the long-term access key that began the chain of sessions; without it the session ends
    secret BLOB NOT NULL,             -- sealed by the root key
    token_hash BLOB NOT NULL,         -- SHA-256 of the session token
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    kept_until INTEGER NOT NULL,      -- then a job removes the row
    detail TEXT NOT NULL              -- JSON with a version: session policies, tags, source identity
) STRICT;
