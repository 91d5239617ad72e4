-- What of a token's scopes its project's files give it: taken back when they no longer do.
ALTER TABLE tokens ADD COLUMN declared TEXT NOT NULL DEFAULT '[]';
