-- What tokens might do before the version of a running deployment came into force, and what it made of that.
CREATE TABLE token_scopes_before (
    id           TEXT PRIMARY KEY,
    scopes       TEXT NOT NULL,
    declared     TEXT NOT NULL,
    scopes_after TEXT NOT NULL
) STRICT, WITHOUT ROWID;
