-- Events on their way out: alerts and billing. One is written in the transaction of what it tells of, without
-- a number, so that writers share nothing; a job numbers what is committed (`outbox_seq` is the last number
-- given), so that whoever reads in the order of numbers misses nothing. `key`: what happened, told once.
INSERT INTO counters (name, value) VALUES ('outbox_seq', 0);

CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY,
    seq BIGINT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE UNIQUE INDEX outbox_key ON outbox (key);
CREATE UNIQUE INDEX outbox_seq ON outbox (seq);
CREATE INDEX outbox_unnumbered ON outbox (id) WHERE seq IS NULL;

-- How far each receiver of events has come: everything up to `seq` is delivered or in `deliveries`. One
-- gateway at a time sends to a receiver, its `owner` until `claimed_until`.
CREATE TABLE outbox_cursors (
    sink TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    owner TEXT NOT NULL,
    claimed_until BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    delivered_at BIGINT,
    last_error TEXT,
    failed_at BIGINT
) WITHOUT ROWID;

-- What a receiver did not take: `pending` is tried again at `next_at`, `dead` waits for somebody to say so.
CREATE TABLE deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    sink TEXT NOT NULL,
    event_id TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    last_error TEXT NOT NULL,
    failed_at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (sink, state, next_at);
CREATE INDEX deliveries_event ON deliveries (event_id);
