-- Budgets: what a scope (a key, a team, a provider, a tag, ...) may cost within a period. `budgets_rev`
-- numbers every change, in commit order. A deleted one stays, for the windows that name it.
INSERT INTO counters (name, value) VALUES ('budgets_rev', 0);

CREATE TABLE budgets (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    period TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    limit_nano BIGINT NOT NULL,
    carry_over BOOLEAN NOT NULL,
    thresholds JSONB NOT NULL,
    raise_nano BIGINT,
    raise_until BIGINT,
    origin TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    rev BIGINT NOT NULL
);

CREATE INDEX budgets_rev ON budgets (rev);
CREATE INDEX budgets_subject ON budgets (scope, subject);

-- One row per budget and period that something was charged to. `spent_nano` is the sum of the rows
-- that name the window in `charges`; `leased_nano` the sum of its leases. spent + leased never exceeds
-- what the budget allows. `wanted_at`: a replica was refused although others hold what they do not need.
CREATE TABLE budget_windows (
    budget_id TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT,
    carried_nano BIGINT NOT NULL,
    spent_nano BIGINT NOT NULL,
    leased_nano BIGINT NOT NULL,
    wanted_at BIGINT NOT NULL,
    PRIMARY KEY (budget_id, starts_at)
);

-- What a replica may spend without asking. A lease that has expired belongs to a replica that died: it
-- counts as spent until that replica's journal has been read.
CREATE TABLE budget_leases (
    budget_id TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    replica TEXT NOT NULL,
    granted_nano BIGINT NOT NULL,
    idle_nano BIGINT NOT NULL,
    synced_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (budget_id, starts_at, replica)
);

CREATE INDEX budget_leases_replica ON budget_leases (replica);

-- The gateways on this database, each with a journal of its own.
CREATE TABLE replicas (
    id TEXT NOT NULL PRIMARY KEY,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- The budget windows that a row was charged to: [[budget id, start], ...]; absent when there are none.
ALTER TABLE usage ADD COLUMN charges JSONB;

-- The organisation a key belongs to, for its budgets.
ALTER TABLE virtual_keys ADD COLUMN organization_id TEXT;
