-- Which key made an object at a provider (a file, a batch, a stored response): only that key may
-- ask for it again.
CREATE TABLE objects (
    provider TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    kind TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (object_id, provider)
);
