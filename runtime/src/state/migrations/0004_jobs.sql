CREATE TABLE jobs (
    id         TEXT PRIMARY KEY,
    number     INTEGER NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('waiting', 'working', 'done', 'error', 'cancelling', 'cancelled')),
    request    TEXT NOT NULL,
    progress   TEXT NOT NULL,
    result     TEXT,
    error      TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
