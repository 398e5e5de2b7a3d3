-- Which key made an object at a provider (a file, a batch, a stored response): only that key may
-- ask for it again.
CREATE TABLE objects (
    provider TEXT NOT NULL,
    object_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (object_id, provider)
) WITHOUT ROWID;
