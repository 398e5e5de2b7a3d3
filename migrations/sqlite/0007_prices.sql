-- Prices of one's own, over the configuration's. A row is never edited: a correction is a new one from
-- the same moment on, with a higher version. Without entries it hands back to the configuration and
-- the catalogue. `prices_rev` numbers every change, in commit order; a row's version is the number it
-- was made with.
INSERT INTO counters (name, value) VALUES ('prices_rev', 0);

CREATE TABLE prices (
    id TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    effective_from BIGINT NOT NULL,
    version BIGINT NOT NULL,
    entries TEXT,
    note TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    withdrawn_at BIGINT,
    rev BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX prices_rev ON prices (rev);
CREATE INDEX prices_model ON prices (provider, model, effective_from, version);

-- The service tier that the answer named, by which the row was priced; absent when it named none.
ALTER TABLE usage ADD COLUMN tier TEXT;

-- What rows cost before they were rated anew: version 1 is the first rating of the request (at, id). The
-- present one is in the row itself. `rated_at`: when this rating was replaced, by the run `run_id`.
CREATE TABLE usage_ratings (
    at BIGINT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    cost_nano BIGINT,
    price_version TEXT,
    unpriced BOOLEAN NOT NULL,
    rated_at BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (at, id, version)
) WITHOUT ROWID;

CREATE INDEX usage_ratings_run ON usage_ratings (run_id);
