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

-- The items of those answers, which clients refer to by their ids (`item_reference`).
CREATE TABLE response_items (
    id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    item TEXT NOT NULL,
    PRIMARY KEY (id, key_id)
);

CREATE INDEX response_items_created_at ON response_items (created_at);
