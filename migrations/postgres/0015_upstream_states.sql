-- What was told last of upstream keys (kind 'key', or 'denied' for one model) and targets (kind 'target'), so that of
-- all replicas and restarts one tells it once. `seen_at` is when a replica last saw it so.
CREATE TABLE upstream_states (
    kind TEXT NOT NULL,
    provider TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    since BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (kind, provider, subject)
);
