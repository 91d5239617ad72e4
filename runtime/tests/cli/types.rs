//! `check --types`: what the engine says of a project's statements.

use pipewright::engine;

use super::harness::Project;

pub(super) const HITS: (&str, &str) = (
    "hits.datasource",
    "SCHEMA >\n    `day` Date,\n    `user` String,\n    `amount` UInt64\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
);

const SUMS: (&str, &str) = (
    "sums.datasource",
    "SCHEMA >\n    `day` Date,\n    `total` AggregateFunction(sum, UInt64)\n\nENGINE \"AggregatingMergeTree\"\nENGINE_SORTING_KEY \"day\"\n",
);

/// The findings, the last line of what is said beside them, and the exit code.
pub(super) fn typed(project: &Project) -> (String, String, i32) {
    let library = engine::locate().expect("the engine is installed: `cargo run -- engine install`");
    let mut command = project.command(&["check", "--types", "--format", "concise"]);
    let output = command
        .env("PIPEWRIGHT_CHDB", library)
        .output()
        .expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("text");
    (
        String::from_utf8(output.stdout).expect("text"),
        said.lines().last().unwrap_or_default().to_owned(),
        output.status.code().expect("an exit code"),
    )
}

/// The pipes of these tests are not served.
pub(super) const FORWARD: (&str, &str) = ("pipewright.toml", "[project]\nkind = \"forward\"\n");

pub(super) fn node(name: &str, sql: &str) -> String {
    format!("NODE {name}\nSQL >\n    {sql}\n\n")
}

#[test]
fn mistakes_that_only_the_engine_knows_are_found_at_their_places() {
    let pipe = [
        node("column", "SELECT day, amuont FROM hits"),
        node("consequence", "SELECT sum(amuont) AS s FROM column"),
        node("function", "SELECT toStartOfDya(day) AS d FROM hits"),
        node(
            "operator",
            "SELECT day,\n        amount + user AS x FROM hits",
        ),
        node("arguments", "SELECT sum(amount, day) AS s FROM hits"),
        node("groups", "SELECT user, count() AS c FROM hits GROUP BY day"),
        node("syntax", "SELECT day FROM hits WHERE WHERE day"),
        node(
            "good",
            "SELECT day, sumMerge(total) AS s FROM sums GROUP BY day",
        ),
    ]
    .concat();
    let fill = node(
        "fill",
        "SELECT day, sum(amount) + 1 AS total FROM hits GROUP BY day",
    ) + "TYPE materialized\nDATASOURCE sums\n";
    let project = Project::new(&[
        HITS,
        SUMS,
        FORWARD,
        ("mistakes.pipe", &pipe),
        ("fill.pipe", &fill),
        (
            "ttl.datasource",
            "TOKEN reader READ\n\nSCHEMA >\n    `day` Date\n\nENGINE \"MergeTree\"\nENGINE_TTL \"dya + INTERVAL 1 MONTH\"\n",
        ),
    ]);
    let (findings, said, code) = typed(&project);
    insta::assert_snapshot!(findings);
    assert_eq!(said, "the engine was asked about 9 of 9 statements");
    assert_eq!(code, 1);
    // What it said is kept.
    let (again, said, _) = typed(&project);
    assert_eq!(again, findings);
    assert!(
        said.starts_with("the engine was asked about 0 of 9 statements; the others"),
        "{said}"
    );
    // Only what changed is asked again, and what reads it, in which it stands.
    project.write(
        "mistakes.pipe",
        &pipe.replace("day, amuont FROM", "day, amount AS amuont FROM"),
    );
    let (fixed, said, _) = typed(&project);
    assert!(
        said.starts_with("the engine was asked about 1 of 9"),
        "{said}"
    );
    let left: Vec<&str> = findings
        .lines()
        .filter(|line| !line.contains("unknown column `amuont`"))
        .collect();
    assert_eq!(fixed.lines().collect::<Vec<_>>(), left);
    // Another schema is another answer to those that read it.
    project.write(
        "hits.datasource",
        &HITS.1.replace("`user` String", "`user` UInt64"),
    );
    let (fixed, ..) = typed(&project);
    assert!(!fixed.contains("function plus"), "{fixed}");
}

#[test]
fn what_a_value_could_cause_is_no_finding() {
    let pipe = [
        node("value", "%\n    SELECT * FROM hits WHERE day > toDate({{ String(since) }}) AND amount = {{ untyped }}"),
        node("column", "%\n    SELECT {{ column(which, 'nothing') }} AS w FROM hits"),
        node("source", "%\n    SELECT day {% if defined(all) %}, user{% end %} FROM hits"),
        node("reader", "%\n    SELECT day {% if defined(all) %}, user{% end %} FROM source"),
        node("excluded", "%\n    SELECT {% if which == 'a' %} day AS d {% else %} amount AS a {% end %} FROM hits {% if which != 'a' %} ORDER BY a {% end %}"),
        node("present", "%\n    SELECT day FROM hits {% if defined(name) %} WHERE usre = {{ String(name) }} {% end %}"),
    ]
    .concat();
    let project = Project::new(&[HITS, FORWARD, ("values.pipe", &pipe)]);
    let (findings, _, code) = typed(&project);
    insta::assert_snapshot!(findings, @"values.pipe:29:55: warning[unknown-column]: unknown column `usre`");
    assert_eq!(code, 0);
}

#[test]
fn texts_that_are_no_value_of_the_type_that_they_are_compared_with_are_found() {
    let pipe = [
        node("date", "SELECT user FROM hits WHERE day > '2024-01-04 00:00:00'"),
        node(
            "alias",
            "SELECT toDate(toDateTime(day)) AS ts FROM hits WHERE ts != ''",
        ),
        node("set", "SELECT user FROM hits WHERE amount IN (1, 'many')"),
        node("good", "SELECT user FROM hits WHERE day > '2024-01-04' AND user != 'x'"),
        // What a request brings, or what stands in for it, is its affair.
        node("value", "%\n    SELECT user FROM hits WHERE day > {{ String(since) }} AND amount != {{ String(least, '-') }}"),
        node("both", "%\n    SELECT user FROM hits WHERE day > {{ String(since, 'all') }} OR user = 'all'"),
    ]
    .concat();
    let project = Project::new(&[HITS, FORWARD, ("texts.pipe", &pipe)]);
    let (findings, _, code) = typed(&project);
    insta::assert_snapshot!(findings, @r"
    texts.pipe:3:39: error[wrong-types]: `'2024-01-04 00:00:00'` is no `Date`
    texts.pipe:7:64: error[wrong-types]: `''` is no `Date`
    texts.pipe:11:47: error[wrong-types]: `'many'` is no `UInt64`
    ");
    assert_eq!(code, 1);
}

#[test]
fn a_parameter_that_needs_another_is_found() {
    let sql = |second: &str| {
        format!(
            "%\n    SELECT day FROM hits\n    {{% if defined(name) %}} WHERE user = {{{{ String(name) }}}} {{% end %}}\n    \
             {{% if defined(least) %}} {second} amount >= {{{{ Int32(least) }}}} {{% end %}}\n    {{% if defined(most) %}} LIMIT {{{{ Int32(most) }}}} {{% end %}}"
        )
    };
    let project = Project::new(&[HITS, FORWARD, ("p.pipe", &node("n", &sql("AND")))]);
    let (findings, _, code) = typed(&project);
    insta::assert_snapshot!(findings, @"p.pipe:6:33: warning[sql-syntax]: the engine cannot read on here");
    assert_eq!(code, 0);
    let right = sql("AND").replace("FROM hits\n", "FROM hits WHERE 1\n");
    project.write("p.pipe", &node("n", &right.replace("%} WHERE", "%} AND")));
    assert_eq!(typed(&project).0, "");
}

#[test]
fn branches_that_values_choose_are_described() {
    let pipe = [
        node("else", "%\n    SELECT {% if unit == 'day' %} dya {% else %} user {% end %} AS d FROM hits"),
        node("elif", "%\n    SELECT {% if String(unit, 'day') == 'day' %} day {% elif unit == 'who' %} usre {% elif unit in ['a', 'b'] %} amount + user {% else %} toDya(day) {% end %} AS d FROM hits"),
        node("nested", "%\n    SELECT day FROM hits {% if defined(least) and Int32(least) > 5 %} WHERE 1 {% if mode != 'all' %} AND amuont > 1 {% end %} {% end %}"),
        node("set", "%\n    {% set unit = String(by, 'hour') %}SELECT day {% if unit == 'week' %}, wekk {% end %} FROM hits"),
        node("ternary", "%\n    SELECT day FROM hits ORDER BY {{ column(by, 'day') }} {% if by == 'user' %}, usr {% end %}"),
        // The same values choose in what is read.
        node("source", "%\n    SELECT {% if which == 'a' %} day AS a {% else %} user AS b {% end %} FROM hits"),
        node("right", "%\n    SELECT {% if which == 'a' %} a {% else %} b {% end %} AS r FROM source"),
        node("wrong", "SELECT b FROM source"),
        // Branches that exclude each other, and a value that is part of a name.
        node("excluded", "%\n    SELECT {% if which == 'a' %} day AS d {% else %} amount AS a {% end %} FROM hits {% if which != 'a' %} ORDER BY a {% end %}"),
        node("named", "%\n    SELECT 1 AS weekly, {{ column(by, 'day') }} AS n FROM hits {% if by == 'weekly' %} LIMIT 1 {% end %}"),
        // A value that the template does not expect leaves a gap.
        node("gap", "%\n    SELECT {% if defined(by) %}{% if by == 'a' %} day {% elif by == 'b' %} user {% end %}{% else %} amount {% end %} AS v FROM hits"),
        // No request comes there.
        node("never", "%\n    SELECT day {% if 1 == 2 %}, dya {% end %} FROM hits"),
    ]
    .concat();
    let project = Project::new(&[HITS, FORWARD, ("branches.pipe", &pipe)]);
    let (findings, _, code) = typed(&project);
    insta::assert_snapshot!(findings, @r"
    branches.pipe:4:35: warning[unknown-column]: unknown column `dya`
    branches.pipe:9:79: warning[unknown-column]: unknown column `usre`
    branches.pipe:9:121: warning[wrong-types]: illegal types UInt64 and String of arguments of function plus
    branches.pipe:9:139: warning[unknown-function]: there is no function `toDya`
    branches.pipe:14:106: warning[unknown-column]: unknown column `amuont`
    branches.pipe:19:76: warning[unknown-column]: unknown column `wekk`
    branches.pipe:24:82: warning[unknown-column]: unknown column `usr`
    branches.pipe:38:12: warning[unknown-column]: unknown column `b`
    ");
    assert_eq!(code, 0);
}

#[test]
fn what_reads_a_failure_is_no_finding_of_its_own() {
    let made = node("made", "SELECT day, amuont FROM hits")
        + "TYPE materialized\nDATASOURCE out\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n";
    let project = Project::new(&[
        FORWARD,
        HITS,
        ("made.pipe", &made),
        ("reader.pipe", &node("reader", "SELECT amuont FROM out")),
        (
            "broken.datasource",
            "SCHEMA >\n    `day` Date\n\nENGINE \"MergeTree\"\nENGINE_TTL \"dya + INTERVAL 1 MONTH\"\n",
        ),
        (
            "fill.pipe",
            &(node("fill", "SELECT day FROM hits") + "TYPE materialized\nDATASOURCE broken\n"),
        ),
        ("other.pipe", &node("other", "SELECT dya FROM broken")),
    ]);
    let (findings, ..) = typed(&project);
    insta::assert_snapshot!(findings, @r"
    broken.datasource:2:5: error[not-created]: the engine does not make the table of data source `broken`
    made.pipe:3:17: error[unknown-column]: unknown column `amuont`
    ");
}

#[test]
fn what_stands_in_a_good_statement_is_not_asked_about_unless_it_may_mean_something_else_there() {
    let pipe = [
        node("first", "SELECT day, user FROM hits"),
        node("second", "SELECT day, count() AS c FROM first GROUP BY day"),
        // The engine finds the name in the query around it.
        node("wrong", "SELECT day, missing FROM hits"),
        node("hides", "SELECT 1 AS missing, day FROM wrong"),
        // A column of the rows around it.
        node("set", "SELECT amount FROM sums"),
        node("seeks", "SELECT day FROM hits WHERE amount IN set"),
    ]
    .concat();
    let project = Project::new(&[HITS, SUMS, FORWARD, ("chain.pipe", &pipe)]);
    let (findings, said, code) = typed(&project);
    insta::assert_snapshot!(findings, @r"
    chain.pipe:11:17: error[unknown-column]: unknown column `missing`
    chain.pipe:19:12: error[unknown-column]: unknown column `amount`
    ");
    assert!(
        said.starts_with("the engine was asked about 5 of 6"),
        "{said}"
    );
    assert_eq!(code, 1);
}

#[test]
fn what_reaches_outside_of_the_engine_is_not_asked() {
    let project = Project::new(&[
        (
            "a.pipe",
            &node("a", "SELECT * FROM file('secret.csv', 'CSV')"),
        ),
        ("b.pipe", &node("b", "SELECT * FROM a")),
        (
            "c.pipe",
            &(node("c", "SELECT * FROM url('http://127.0.0.1:1/', 'CSV')")
                + "TYPE copy\nTARGET_DATASOURCE hits\n"),
        ),
        (
            "pipewright.toml",
            "[project]\nkind = \"forward\"\n[allow]\ntable_functions = [\"file\", \"url\"]\n",
        ),
        HITS,
    ]);
    let (findings, said, _) = typed(&project);
    assert_eq!(findings, "");
    assert_eq!(
        said,
        "there is no statement that the engine can be asked about"
    );
}

#[test]
fn lints_and_comments_change_what_the_engine_found() {
    let pipe = node(
        "a",
        "SELECT amuont FROM hits -- pipewright: allow(unknown-column)",
    ) + &node("b", "SELECT toStartOfDya(day) AS d FROM hits");
    let project = Project::new(&[
        HITS,
        ("a.pipe", &pipe),
        (
            "pipewright.toml",
            "[project]\nkind = \"forward\"\n[lints]\nunknown-function = \"note\"\n",
        ),
    ]);
    let (findings, _, code) = typed(&project);
    insta::assert_snapshot!(findings, @"a.pipe:7:12: note[unknown-function]: there is no function `toStartOfDya`");
    assert_eq!(code, 0);
}

/// The findings and what is said beside them, without `--types`.
fn untyped(project: &Project, arguments: &[&str]) -> (String, String) {
    let library = engine::locate().expect("the engine is installed: `cargo run -- engine install`");
    let mut command = project.command(&[&["check"], arguments].concat());
    let output = command
        .env("PIPEWRIGHT_CHDB", library)
        .output()
        .expect("the binary runs");
    (
        String::from_utf8(output.stdout).expect("text"),
        String::from_utf8(output.stderr).expect("text"),
    )
}

#[test]
fn what_the_engine_said_before_is_known_without_asking_it() {
    let wrong = node("a", "SELECT day, amuont FROM hits");
    let good = node("b", "SELECT day FROM hits");
    let project = Project::new(&[HITS, FORWARD, ("a.pipe", &wrong), ("b.pipe", &good)]);
    let ask = "`pipewright check --types` asks the engine";
    let (findings, said) = untyped(&project, &[]);
    assert_eq!(findings, "");
    let last = |said: &str| said.lines().last().unwrap_or_default().to_owned();
    assert_eq!(
        last(&said),
        format!("columns and types are not checked: {ask}")
    );
    let (asked, _, _) = typed(&project);
    assert!(asked.contains("error[unknown-column]"), "{asked}");
    let (findings, said) = untyped(&project, &["--format", "concise"]);
    assert_eq!((findings, said), (asked, String::new()));
    let (_, said) = untyped(&project, &[]);
    assert_eq!(
        last(&said),
        "columns and types are as the engine said before"
    );
    assert_eq!(
        untyped(&project, &["--no-engine", "--format", "concise"]).0,
        ""
    );
    // Of a statement that changed nothing is known, and what is known of the other stays.
    project.write("b.pipe", &node("b", "SELECT user FROM hits"));
    let (findings, said) = untyped(&project, &[]);
    assert!(findings.contains("amuont"), "{findings}");
    assert_eq!(
        last(&said),
        format!("columns and types of 1 of 2 statements are not checked: {ask}")
    );
    project.write("a.pipe", &node("a", "SELECT day, amount FROM hits"));
    assert_eq!(untyped(&project, &["--format", "concise"]).0, "");
    // What became of other tables is not known.
    project.write("hits.datasource", &HITS.1.replace("amount", "amounts"));
    let (findings, said) = untyped(&project, &[]);
    assert_eq!(findings, "");
    assert_eq!(
        last(&said),
        format!("columns and types are not checked: {ask}")
    );
    // A report for machines is nothing but that.
    let (report, said) = untyped(&project, &["--format", "json"]);
    assert!(report.starts_with('{') && said.is_empty(), "{report}{said}");
}

#[test]
fn without_an_engine_the_rest_is_checked() {
    let project = Project::new(&[HITS, FORWARD, ("a.pipe", &node("a", "SELECT * FROM hist"))]);
    let mut command = project.command(&["check", "--types", "--format", "concise"]);
    let output = command
        .env("PIPEWRIGHT_CACHE", "/nowhere")
        .output()
        .expect("the binary runs");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @"a.pipe:3:19: error[unknown-resource]: `hist` is no node, pipe or data source of this project");
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @"columns and types are not checked: the embedded ClickHouse is not installed; `pipewright engine install` fetches it");
}

#[test]
fn a_row_is_sent_through_every_view_and_null_is_found_where_none_is_taken() {
    let datasource = |columns: &str| {
        format!(
            "SCHEMA >\n    `day` Date{columns}\n\nENGINE \"MergeTree\"\nENGINE_SORTING_KEY \"day\"\n"
        )
    };
    let events = datasource(",\n    `amount` Nullable(UInt64),\n    `text` String");
    let middle = datasource(",\n    `amount` Nullable(UInt64),\n    `text` String");
    let last = datasource(",\n    `amount` UInt64,\n    `text` String");
    let view = |name: &str, sql: &str, target: &str| {
        node(name, sql) + &format!("TYPE materialized\nDATASOURCE {target}\n")
    };
    let first = view("first", "SELECT day, amount, text FROM events", "middle");
    let second = |sql: &str| view("second", sql, "last");
    let files = |second: &str| {
        Project::new(&[
            ("events.datasource", &events),
            ("middle.datasource", &middle),
            ("last.datasource", &last),
            ("first.pipe", &first),
            ("second.pipe", second),
        ])
    };
    let project = files(&second("SELECT day,\n        amount, text FROM middle"));
    let (findings, _, code) = typed(&project);
    insta::assert_snapshot!(findings, @"second.pipe:4:9: warning[breaks-inserts]: inserts into `events` fail where this is NULL");
    assert_eq!(code, 0);
    // What was said is kept.
    assert_eq!(typed(&project).0, findings);
    for sql in [
        "SELECT day, ifNull(amount, 0) AS amount, text FROM middle",
        "SELECT day, amount, text FROM middle WHERE amount IS NOT NULL",
        // An empty text is no number, but which texts there are is not known.
        "SELECT day, toUInt64(text) AS amount, text FROM middle",
    ] {
        assert_eq!(typed(&files(&second(sql))).0, "", "{sql}");
    }
}
