CREATE TABLE catalog_files (
    path       TEXT PRIMARY KEY,
    text       TEXT,
    base       TEXT,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE catalog_objects (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('pipe', 'node', 'datasource')),
    parent     TEXT NOT NULL,
    name       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (kind, parent, name)
) STRICT, WITHOUT ROWID;
