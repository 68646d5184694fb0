-- Who watches what, and where each viewer stopped.

-- One row a playback. `seq` is the highest heartbeat that was taken, `renew_us` the time from which a heartbeat is answered
-- with a new lease.
CREATE TABLE playback (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    content_id TEXT NOT NULL,
    revision BIGINT NOT NULL,
    plan_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    position_ms BIGINT NOT NULL,
    started_us BIGINT NOT NULL,
    seen_us BIGINT NOT NULL,
    renew_us BIGINT NOT NULL
);
CREATE INDEX playback_by_seen ON playback (seen_us);

-- One row a viewer and content: where the next playback goes on.
CREATE TABLE resume_position (
    user_id TEXT NOT NULL,
    content_id TEXT NOT NULL,
    position_ms BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (user_id, content_id)
);
