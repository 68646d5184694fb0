-- What every desk service stands on: inbox, outbox, leases, and the sealed content keys.
--
-- SQLite and Postgres read the same text. BYTEA is Postgres's word; SQLite stores bytes as they come whatever a column is
-- called. Times are microseconds since 1970.

-- One row. `id` names this catalog to the log; `outbox_position` is the position of the last message ever sent. The
-- counter stands in a row of its own table, not in a sequence: the row stays locked until its transaction commits, so
-- positions become visible in their order, and a relay that reads up to one has missed none below it.
CREATE TABLE catalog (
    singleton BIGINT PRIMARY KEY CHECK (singleton = 1),
    id TEXT NOT NULL,
    outbox_position BIGINT NOT NULL
);

-- Events that were handled, committed with what they led to.
CREATE TABLE inbox (
    namespace TEXT NOT NULL,
    event_id TEXT NOT NULL,
    handled_us BIGINT NOT NULL,
    PRIMARY KEY (namespace, event_id)
);
CREATE INDEX inbox_by_time ON inbox (handled_us);

-- Messages on their way to the log.
CREATE TABLE outbox (
    position BIGINT PRIMARY KEY,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    spread BIGINT NOT NULL,
    headers TEXT NOT NULL,
    payload BYTEA NOT NULL
);

-- Work that one process at a time may do.
CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until_us BIGINT NOT NULL
);

-- What a plan's keys protect. A plan that was revoked before it had keys has a row with nothing but that.
CREATE TABLE key_plan (
    plan_id TEXT PRIMARY KEY,
    content_id TEXT,
    scheme TEXT,
    fingerprint BYTEA,
    revoked_us BIGINT
);

-- Content keys, sealed by a master key that is not in this file.
CREATE TABLE content_key (
    plan_id TEXT NOT NULL REFERENCES key_plan (plan_id),
    track_class TEXT NOT NULL,
    key_id TEXT NOT NULL UNIQUE,
    master_id TEXT NOT NULL,
    nonce BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (plan_id, track_class)
);
CREATE INDEX content_key_by_master ON content_key (master_id);
