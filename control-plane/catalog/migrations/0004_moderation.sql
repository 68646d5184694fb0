-- Cases of the review queue, and the documents of search.

-- One row a case: what was flagged in one revision, of one kind (`content` or `rights`). `flags` is a JSON list of who
-- flagged what where. `decided` is 0 while the case is open, 1 then.
CREATE TABLE moderation_case (
    content_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    kind TEXT NOT NULL,
    flags TEXT NOT NULL,
    decided BIGINT NOT NULL,
    decided_by TEXT,
    approved BIGINT,
    reason TEXT,
    opened_us BIGINT NOT NULL,
    decided_us BIGINT,
    PRIMARY KEY (content_id, revision, kind)
);
CREATE INDEX moderation_case_in_order ON moderation_case (decided, opened_us, content_id, revision, kind);

-- One row a publication that search knows; `visible` is 1 for the one that viewers find. `number` is its row in the index,
-- which the engine's own text makes.
CREATE TABLE document (
    content_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    number BIGINT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    visibility TEXT NOT NULL,
    visible BIGINT NOT NULL,
    PRIMARY KEY (content_id, revision)
);
