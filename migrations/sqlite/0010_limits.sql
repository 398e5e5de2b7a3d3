-- More limits of a virtual key, and who goes first where requests wait for an upstream.
ALTER TABLE virtual_keys ADD COLUMN rps BIGINT;
ALTER TABLE virtual_keys ADD COLUMN rph BIGINT;
ALTER TABLE virtual_keys ADD COLUMN rpd BIGINT;
ALTER TABLE virtual_keys ADD COLUMN tps BIGINT;
ALTER TABLE virtual_keys ADD COLUMN tph BIGINT;
ALTER TABLE virtual_keys ADD COLUMN tpd BIGINT;
ALTER TABLE virtual_keys ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal';

-- What is left of limits that replicas share: of a holder's rate so many millionths of a request or token, as of a
-- moment from which on they refill evenly. Negative in debt. A full one need not be there.
CREATE TABLE limit_levels (
    holder TEXT NOT NULL,
    rate TEXT NOT NULL,
    limit_value BIGINT NOT NULL,
    level_micro BIGINT NOT NULL,
    as_of BIGINT NOT NULL,
    PRIMARY KEY (holder, rate)
) WITHOUT ROWID;

-- Places in flight that replicas have leased, theirs until they are not renewed.
CREATE TABLE limit_places (
    holder TEXT NOT NULL,
    replica TEXT NOT NULL,
    places BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (holder, replica)
) WITHOUT ROWID;
