-- A row is asked for by the id of its request (`GET /v1/usage/{request_id}`).
CREATE INDEX usage_id ON usage (id);

-- Scheduled reports that were made, each once: the row is the claim that it was.
CREATE TABLE reports (
    name TEXT NOT NULL,
    period_start BIGINT NOT NULL,
    period_end BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (name, period_start)
) WITHOUT ROWID;

CREATE INDEX reports_made_at ON reports (made_at, name, period_start);

-- Providers' own accounts of what was used, as they were imported. The same file is imported once.
CREATE TABLE invoices (
    id TEXT NOT NULL PRIMARY KEY,
    provider TEXT NOT NULL,
    format TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    imported_at BIGINT NOT NULL,
    first_day BIGINT NOT NULL,
    last_day BIGINT NOT NULL,
    line_count BIGINT NOT NULL,
    has_tokens BOOLEAN NOT NULL,
    has_cost BOOLEAN NOT NULL,
    cost_nano BIGINT NOT NULL,
    unknown_columns TEXT NOT NULL,
    UNIQUE (provider, content_hash)
) WITHOUT ROWID;

-- What an invoice says of a day (UTC), a model and a kind of item, its lines added up.
CREATE TABLE invoice_lines (
    invoice_id TEXT NOT NULL,
    day BIGINT NOT NULL,
    model TEXT NOT NULL,
    item TEXT NOT NULL,
    line_count BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    web_searches BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    PRIMARY KEY (invoice_id, day, model, item)
) WITHOUT ROWID;
