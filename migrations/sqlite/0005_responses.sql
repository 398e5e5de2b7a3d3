-- Answers of `responses` that Weir keeps for providers that keep none, and the conversation up to and
-- with each, so that the next request can go on from it.
CREATE TABLE responses (
    id TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    items TEXT NOT NULL,
    response TEXT NOT NULL
);

CREATE INDEX responses_created_at ON responses (created_at);
