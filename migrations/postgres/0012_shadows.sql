-- How copies of requests (`models.NAME.shadow`) differ from those; nothing of what either said. `id` is the copy's request
-- id, `at` the request's arrival. What is the copy's begins with `shadow_`. `text_equal` and `tools_equal` are 0 or 1, `similarity`
-- is in thousandths; without a value where it is not known. A bounded number of rows.
CREATE TABLE shadows (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    endpoint TEXT NOT NULL,
    stream BOOLEAN NOT NULL,
    billed BOOLEAN NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    shadow_target TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL,
    shadow_status TEXT NOT NULL,
    error_code TEXT,
    shadow_error_code TEXT,
    ttft_ms BIGINT,
    shadow_ttft_ms BIGINT,
    latency_ms BIGINT NOT NULL,
    shadow_latency_ms BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    shadow_input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    shadow_output_tokens BIGINT NOT NULL,
    cost_nano BIGINT,
    shadow_cost_nano BIGINT,
    finish TEXT NOT NULL,
    shadow_finish TEXT NOT NULL,
    text_bytes BIGINT NOT NULL,
    shadow_text_bytes BIGINT NOT NULL,
    text_equal BIGINT,
    similarity BIGINT,
    tool_calls BIGINT NOT NULL,
    shadow_tool_calls BIGINT NOT NULL,
    tools_equal BIGINT
);

CREATE INDEX shadows_at ON shadows (at, id);
