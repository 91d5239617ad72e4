-- A recursive definition reads the table of its own name but in the branches after the first.
WITH RECURSIVE other AS (SELECT * FROM other) SELECT count() FROM other
WITH RECURSIVE other AS (SELECT * FROM other UNION ALL SELECT * FROM other WHERE 0) SELECT count() FROM other
WITH RECURSIVE other AS ((SELECT * FROM other) UNION ALL SELECT org FROM other WHERE 0) SELECT count() FROM other
WITH RECURSIVE events AS (SELECT * FROM events) SELECT countIf(org != 1) FROM events
SELECT (WITH RECURSIVE other AS (SELECT * FROM other) SELECT count() FROM other)
-- A branch with a `WITH` of its own has none of the common tables of the first.
SELECT count() FROM (WITH other AS (SELECT 1 AS org WHERE 0) SELECT org FROM other UNION ALL WITH 2 AS q SELECT org FROM other)
SELECT count() FROM (WITH other AS (SELECT 1 AS org WHERE 0) SELECT org FROM other UNION ALL (WITH 2 AS q SELECT org FROM other))
SELECT countIf(org != 1) FROM (WITH events AS (SELECT 1 AS org) SELECT org FROM events UNION ALL (SELECT 1 AS org UNION ALL WITH 2 AS q SELECT org FROM events))
SELECT countIf(org != 1) FROM (WITH events AS (SELECT 1 AS org) SELECT org FROM events UNION ALL WITH 2 AS q SELECT org FROM events UNION ALL SELECT org FROM by_org)
-- Lambdas with the name of an operator.
WITH lambda(tuple(x, y), 1) AS equals SELECT countIf(org != 1) FROM events
WITH (x, y) -> 1 IS NOT DISTINCT FROM 1 AS equals SELECT countIf(org != 1) FROM events
WITH RECURSIVE ((x, y) -> 1) AS equals SELECT countIf(org != 1) FROM events
WITH ((x, y) -> 1) AS g, (g AS h) AS equals SELECT countIf(org != 1) FROM events
-- Sets.
SELECT sum(c) FROM (SELECT * APPLY other -> (2 IN other) FROM (SELECT 1 AS c) WHERE 2 IN other)
SELECT countIf(number IN + other) FROM numbers(5)
SELECT countIf(number IN +((other))) FROM numbers(5)
SELECT sum(NOT NOT in(number, other)) FROM numbers(5)
SELECT sum(s) FROM (SELECT DISTINCT in(number, other) AS s FROM numbers(5))
SELECT sum(CASE in(number, other) WHEN 1 THEN 1 ELSE 0 END) FROM numbers(5)
SELECT count(DISTINCT in(number, other)) - 1 FROM numbers(5)
SELECT count() FILTER (WHERE in(number, other)) FROM numbers(5)
WITH other AS x SELECT countIf(number IN x) FROM numbers(5)
WITH other AS x, x AS y SELECT countIf(number IN y) FROM numbers(5)
WITH pipewright.other AS x SELECT countIf(number IN x) FROM numbers(5)
SELECT sum(other) FROM (SELECT number IN other AS other FROM numbers(5) AS other)
WITH events AS x SELECT countIf((number % 4, number) IN x) FROM numbers(40) WHERE number % 4 != 1
SELECT countIf((number % 4, number) IN + events) FROM numbers(40) WHERE number % 4 != 1
SELECT sum(in((number % 4, number), events)) FROM numbers(40) WHERE number % 4 != 1
-- Words of the engine's before `in(…)` are no columns.
SELECT sum(number) FROM (SELECT * REPLACE in(number, other) AS number FROM numbers(5))
SELECT countIf(substring('abc' from 1 for in(number, other)) = 'a') FROM numbers(5)
SELECT countIf(overlay('abc' placing in(number, other)::String from 1 for 1) = '1bc') FROM numbers(5)
-- What the engine makes of values for texts.
SELECT countIf(org != 1) FROM events SETTINGS bool_false_representation = 'true'
