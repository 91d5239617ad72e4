-- Lists of one kind, what has not ended, and what ended long ago are found without reading every job that ever was.
CREATE INDEX jobs_of_kind ON jobs (kind, number);
CREATE INDEX jobs_asked_by ON jobs (request ->> '$.asked_by', number);
CREATE INDEX jobs_unfinished ON jobs (number) WHERE status IN ('waiting', 'working', 'cancelling');
CREATE INDEX jobs_ended ON jobs (updated_at) WHERE status IN ('done', 'error', 'cancelled');
