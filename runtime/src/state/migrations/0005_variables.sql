CREATE TABLE variables (
    name       TEXT PRIMARY KEY,
    sealed     BLOB NOT NULL,
    edited_by  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
