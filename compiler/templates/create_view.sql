CREATE MATERIALIZED VIEW IF NOT EXISTS {{ name }} TO {{ target }} AS
{{ select }}
