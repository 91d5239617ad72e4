CREATE TABLE IF NOT EXISTS {{ name }}
(
{%- for entry in entries %}
    {{ entry }}{% if !loop.last %},{% endif %}
{%- endfor %}
)
ENGINE = {{ engine }}
{%- for clause in clauses %}
{{ clause }}
{%- endfor %}
