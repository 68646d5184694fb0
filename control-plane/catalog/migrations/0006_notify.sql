-- Notices to users, and the addresses that are told of what happens to their contents.

-- One row. `position` is that of the last notice ever written, `swept` that of the last one that was removed: a reader who
-- comes from below it has missed some. As with the outbox, the row stays locked until its transaction commits, so positions
-- become visible in their order.
CREATE TABLE notice_log (
    singleton BIGINT PRIMARY KEY CHECK (singleton = 1),
    position BIGINT NOT NULL,
    swept BIGINT NOT NULL
);
INSERT INTO notice_log (singleton, position, swept) VALUES (1, 0, 0);

-- What users are shown as it happens. `body` is JSON.
CREATE TABLE notice (
    position BIGINT PRIMARY KEY,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    content_id TEXT,
    body TEXT NOT NULL,
    at_us BIGINT NOT NULL
);
CREATE INDEX notice_by_user ON notice (user_id, position);
CREATE INDEX notice_by_time ON notice (at_us, position);

-- One address a user. `events` is a JSON list of event types, empty for all. Secrets are sealed by a master key that is not
-- in this file; the one before the last rotation signs too until `previous_until_us`. `disabled` says why nothing is sent.
CREATE TABLE webhook (
    user_id TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    previous_secret TEXT,
    previous_until_us BIGINT,
    disabled TEXT,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);

-- One row a message to an address. `message_id` is the `webhook-id` of every attempt.
CREATE TABLE webhook_delivery (
    webhook_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_us BIGINT NOT NULL,
    status BIGINT,
    error TEXT,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (webhook_id, message_id)
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (state, next_us);
