-- Contents, their publications, and how far each step of each is.

-- `revision` is the publication in work or last worked on, `published_revision` the one that viewers see. `version` rises
-- with every change and is the entity tag of the API. `placement` is the JSON of a placement.
CREATE TABLE content (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    visibility TEXT NOT NULL,
    tier TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    revision BIGINT NOT NULL,
    published_revision BIGINT,
    placement TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL
);
CREATE INDEX content_by_owner ON content (owner, id);

-- One row a revision. `package` is the JSON of what was packaged, `plan_id` is known once a chunk is stored. `chunks_stored`
-- counts what was told of them. `swept_us` says when the revision's objects were removed for good.
CREATE TABLE publication (
    content_id TEXT NOT NULL REFERENCES content (id),
    revision BIGINT NOT NULL,
    session_id TEXT,
    file_name TEXT NOT NULL,
    source_key TEXT,
    source_etag TEXT,
    source_bytes BIGINT,
    plan_id TEXT,
    package TEXT,
    duration_ms BIGINT,
    created_us BIGINT NOT NULL,
    published_us BIGINT,
    chunks_stored BIGINT NOT NULL DEFAULT 0,
    swept_us BIGINT,
    PRIMARY KEY (content_id, revision)
);
CREATE INDEX publication_unswept ON publication (content_id, revision) WHERE swept_us IS NULL;
CREATE INDEX publication_waiting ON publication (content_id) WHERE source_key IS NULL;

-- One row a step of a revision: its last attempt.
CREATE TABLE step (
    content_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    worker TEXT NOT NULL,
    reason TEXT NOT NULL,
    started_us BIGINT,
    ended_us BIGINT,
    PRIMARY KEY (content_id, revision, name)
);

-- One row a rendition of a revision.
CREATE TABLE rendition (
    content_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (content_id, revision, name)
);

-- Notifications that wait for their publication: stored before it, taken out with it.
CREATE TABLE dispatch (
    content_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    owner TEXT NOT NULL,
    stored_us BIGINT NOT NULL,
    PRIMARY KEY (content_id, revision)
);

-- Runs of reprocessing. `query` is what was asked for, `start_at` the step that work begins at.
CREATE TABLE run (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    query TEXT NOT NULL,
    start_at TEXT NOT NULL,
    created_us BIGINT NOT NULL
);

-- One row a content of a run. `state` is planned, started or skipped; what came of a started one is told by its revision.
CREATE TABLE run_item (
    run_id TEXT NOT NULL REFERENCES run (id),
    content_id TEXT NOT NULL,
    state TEXT NOT NULL,
    revision BIGINT,
    reason TEXT NOT NULL,
    PRIMARY KEY (run_id, content_id)
);
CREATE VIEW run_outcome AS
    SELECT i.run_id AS run_id, i.content_id AS content_id, i.revision AS revision, i.reason AS reason, c.title AS title,
        CASE WHEN i.state <> 'started' THEN i.state WHEN p.published_us IS NOT NULL THEN 'published'
            WHEN c.revision <> i.revision OR c.state IN ('FAILED', 'BLOCKED', 'DELETED') THEN 'failed'
            ELSE 'working' END AS outcome
    FROM run_item i JOIN content c ON c.id = i.content_id
    LEFT JOIN publication p ON p.content_id = i.content_id AND p.revision = i.revision;
CREATE INDEX run_item_planned ON run_item (run_id, content_id) WHERE state = 'planned';

-- Revisions that are to begin with another revision's stored chunks, copied in the background. `said_us` is when their
-- `media.copyright.cleared` is said: the plan's name follows from it.
CREATE TABLE reuse (
    content_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    from_revision BIGINT NOT NULL,
    from_plan TEXT NOT NULL,
    lane TEXT NOT NULL,
    cleared_by TEXT NOT NULL,
    said_us BIGINT NOT NULL,
    PRIMARY KEY (content_id, revision)
);
