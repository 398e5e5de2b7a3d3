-- One row per request, whatever its outcome. The key is (at, id): it keeps rows in the order they
-- are read, it makes a second insert of the same request a no-op, and two different requests that
-- reuse one client-named id still both have their row.
CREATE TABLE usage (
    at BIGINT NOT NULL,
    id TEXT NOT NULL,
    key_id TEXT,
    team_id TEXT,
    user_id TEXT,
    end_user TEXT,
    tags TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT,
    provider TEXT,
    served_model TEXT,
    status TEXT NOT NULL,
    http_status BIGINT NOT NULL,
    attempts TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_5m_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_1h_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_30m_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_12h_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    audio_input_tokens BIGINT NOT NULL DEFAULT 0,
    audio_output_tokens BIGINT NOT NULL DEFAULT 0,
    image_input_tokens BIGINT NOT NULL DEFAULT 0,
    image_output_tokens BIGINT NOT NULL DEFAULT 0,
    audio_ms BIGINT NOT NULL DEFAULT 0,
    characters BIGINT NOT NULL DEFAULT 0,
    web_searches BIGINT NOT NULL DEFAULT 0,
    images BIGINT NOT NULL DEFAULT 0,
    search_units BIGINT NOT NULL DEFAULT 0,
    cost_nano BIGINT,
    price_version TEXT,
    estimated BOOLEAN NOT NULL,
    unpriced BOOLEAN NOT NULL,
    latency_ms BIGINT NOT NULL,
    ttft_ms BIGINT,
    overhead_us BIGINT NOT NULL,
    stream BOOLEAN NOT NULL,
    error_code TEXT,
    error_message TEXT,
    metadata TEXT,
    PRIMARY KEY (at, id)
) WITHOUT ROWID;

CREATE INDEX usage_key ON usage (key_id, at, id);

-- One row per tag of a request, so that a tag can be searched for and grouped by.
CREATE TABLE usage_tags (
    at BIGINT NOT NULL,
    usage_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (at, usage_id, name, value)
) WITHOUT ROWID;

CREATE INDEX usage_tags_name ON usage_tags (name, value, at, usage_id);

-- Sums by hour (UTC, the hour's first millisecond). An absent text is '' here, because a key
-- column cannot be null.
CREATE TABLE usage_hourly (
    hour BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    status TEXT NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    cache_write_5m_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    cache_write_30m_tokens BIGINT NOT NULL,
    cache_write_12h_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    audio_input_tokens BIGINT NOT NULL,
    audio_output_tokens BIGINT NOT NULL,
    image_input_tokens BIGINT NOT NULL,
    image_output_tokens BIGINT NOT NULL,
    audio_ms BIGINT NOT NULL,
    characters BIGINT NOT NULL,
    web_searches BIGINT NOT NULL,
    images BIGINT NOT NULL,
    search_units BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    latency_ms BIGINT NOT NULL,
    PRIMARY KEY (hour, key_id, team_id, user_id, provider, model, endpoint, status)
) WITHOUT ROWID;

-- Sums by day (UTC, the day's first millisecond). An absent text is '' here, because a key
-- column cannot be null.
CREATE TABLE usage_daily (
    day BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    status TEXT NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    cache_write_5m_tokens BIGINT NOT NULL,
    cache_write_1h_tokens BIGINT NOT NULL,
    cache_write_30m_tokens BIGINT NOT NULL,
    cache_write_12h_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    audio_input_tokens BIGINT NOT NULL,
    audio_output_tokens BIGINT NOT NULL,
    image_input_tokens BIGINT NOT NULL,
    image_output_tokens BIGINT NOT NULL,
    audio_ms BIGINT NOT NULL,
    characters BIGINT NOT NULL,
    web_searches BIGINT NOT NULL,
    images BIGINT NOT NULL,
    search_units BIGINT NOT NULL,
    cost_nano BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    estimated BIGINT NOT NULL,
    latency_ms BIGINT NOT NULL,
    PRIMARY KEY (day, key_id, team_id, user_id, provider, model, endpoint, status)
) WITHOUT ROWID;

-- Rows the database refused. What they cost still counts, so the money columns are kept readable
-- and the whole row as one text.
CREATE TABLE usage_quarantine (
    at BIGINT NOT NULL,
    id TEXT NOT NULL,
    key_id TEXT,
    team_id TEXT,
    user_id TEXT,
    provider TEXT,
    model TEXT,
    status TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nano BIGINT,
    price_version TEXT,
    reason TEXT NOT NULL,
    row_text TEXT NOT NULL,
    PRIMARY KEY (at, id)
) WITHOUT ROWID;
