-- The policy of a repository, and that of a registry: the text that its readers are given. It was understood before it was stored.
CREATE TABLE repository_policy (
    repository_id BLOB PRIMARY KEY,
    document TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE registry_policy (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    document TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account, region)
) STRICT;
