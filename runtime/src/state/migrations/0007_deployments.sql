-- A deployment is finished or taken back by a later process, and an earlier version can be deployed again.
ALTER TABLE deployments ADD COLUMN kind TEXT NOT NULL DEFAULT 'deploy';
ALTER TABLE deployments ADD COLUMN phase TEXT NOT NULL DEFAULT 'preparing';
ALTER TABLE deployments ADD COLUMN journal TEXT NOT NULL DEFAULT '{}';
ALTER TABLE deployments ADD COLUMN steps TEXT NOT NULL DEFAULT '[]';
ALTER TABLE deployments ADD COLUMN files TEXT;
ALTER TABLE deployments ADD COLUMN files_before TEXT;
ALTER TABLE deployments ADD COLUMN error TEXT;
ALTER TABLE deployments ADD COLUMN undone INTEGER NOT NULL DEFAULT 0;

-- The catalog as it was before the version of a running deployment came into force.
CREATE TABLE catalog_files_before AS SELECT * FROM catalog_files WHERE 0;
CREATE TABLE catalog_objects_before AS SELECT * FROM catalog_objects WHERE 0;
