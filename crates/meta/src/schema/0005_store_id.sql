-- Which store this is. The directory of its layers holds the same id, so that neither is used with another store's half.
CREATE TABLE store (
    one INTEGER PRIMARY KEY,          -- always 1
    id BLOB NOT NULL,                 -- 16 random bytes
    created_at INTEGER NOT NULL
) STRICT;
