-- Tags that no resource has.
CREATE TABLE tags (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
