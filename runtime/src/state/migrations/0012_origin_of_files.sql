-- Who wrote a file last: `deploy`, or the API, which `made` or `changed` it. Of what is there it is not known, so that nothing goes unnoticed.
ALTER TABLE catalog_files ADD COLUMN origin TEXT NOT NULL DEFAULT 'changed' CHECK (origin IN ('deploy', 'made', 'changed'));
ALTER TABLE catalog_files_before ADD COLUMN origin TEXT NOT NULL DEFAULT 'changed';
-- The files that the API had made or changed when a deployment began, as JSON.
ALTER TABLE deployments ADD COLUMN files_of_api TEXT NOT NULL DEFAULT '{}';
