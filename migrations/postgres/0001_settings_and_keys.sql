-- Single-row counters. `keys_rev` numbers every change to a virtual key, in commit order.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO counters (name, value) VALUES ('keys_rev', 0);

-- What the gateway must remember about itself, such as the hash of the admin key.
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Virtual keys. Only the SHA-256 of a secret is kept, as lower-case hex.
CREATE TABLE virtual_keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    last4 TEXT NOT NULL,
    models JSONB NOT NULL,
    team_id TEXT,
    user_id TEXT,
    rpm BIGINT,
    tpm BIGINT,
    concurrency BIGINT,
    expires_at BIGINT,
    revoked_at BIGINT,
    metadata JSONB,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    rev BIGINT NOT NULL
);

CREATE INDEX virtual_keys_rev ON virtual_keys (rev);
