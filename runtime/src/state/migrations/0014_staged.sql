-- A version that waits to be brought into force: 1, or 2 if it may take rows and endpoints away. Until then it counts as one that has not come into force.
ALTER TABLE deployments ADD COLUMN staged INTEGER NOT NULL DEFAULT 0;
