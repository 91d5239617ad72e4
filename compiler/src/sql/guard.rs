//! What may reach the engine, from a node or from `/v0/sql`.
//!
//! The engine runs in this process with all its powers: `file('/etc/passwd')` reads that file, `url(…)` calls out, a `SETTINGS` clause can stick to the connection
//! and poison it for others. So a statement is checked by what its [`Scan`] names, before the engine sees it. Lists of what is *allowed* decide for
//! statements, table functions, settings and system tables: a new one in a later engine is refused until someone has looked at it. Ordinary functions are
//! many and harmless, so for them a list of what is *refused* decides. What tables a caller may read is not decided here but where names are resolved.

use std::collections::BTreeSet;
use std::ops::Range;

use super::reference::{Parameter, Position, Setting, TableReference};
use super::scan::{Scan, StatementKind};

/// Where a statement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A node of a pipe.
    Node,
    /// A caller of `/v0/sql`: may end in `FORMAT name`.
    Query,
}

/// What a statement may use. [`Policy::default`] is for endpoints, nodes and queries; a project can allow more by adding to the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Table functions that may be called.
    pub table_functions: BTreeSet<String>,
    /// Settings that may stand in a `SETTINGS` clause.
    pub settings: BTreeSet<String>,
    /// Functions that may be called although they are restricted.
    pub functions: BTreeSet<String>,
    /// Tables of the database `system` that may be read.
    pub system_tables: BTreeSet<String>,
    /// Formats that a query may end in.
    pub formats: BTreeSet<String>,
    /// What `max_memory_usage` may be at most; 0 for anything.
    pub memory_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            table_functions: set(TABLE_FUNCTIONS),
            settings: set(SETTINGS),
            functions: BTreeSet::new(),
            system_tables: set(SYSTEM_TABLES),
            formats: set(FORMATS),
            memory_bytes: 0,
        }
    }
}

impl Policy {
    /// What the node of a copy pipe may use: it runs when its owner says so, and may read from other stores.
    pub fn for_copy() -> Self {
        let mut policy = Self::default();
        policy.table_functions.extend(set(COPY_TABLE_FUNCTIONS));
        policy
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const TABLE_FUNCTIONS: &[&str] = &[
    "SQLStandardValues",
    "format",
    "generateRandom",
    "generateSeries",
    "generate_series",
    "null",
    "numbers",
    "numbers_mt",
    "values",
    "view",
    "zeros",
    "zeros_mt",
];

const COPY_TABLE_FUNCTIONS: &[&str] = &[
    "azureBlobStorage",
    "deltaLake",
    "gcs",
    "iceberg",
    "mongodb",
    "mysql",
    "postgresql",
    "s3",
    "url",
];

const SYSTEM_TABLES: &[&str] = &["functions", "numbers", "numbers_mt", "one"];

const SETTINGS: &[&str] = &[
    "aggregate_functions_null_for_empty",
    "bool_false_representation",
    "bool_true_representation",
    "date_time_output_format",
    "do_not_merge_across_partitions_select_final",
    "enable_filesystem_cache",
    "group_by_use_nulls",
    "join_algorithm",
    "join_use_nulls",
    "max_execution_time",
    "max_memory_usage",
    "max_parallel_replicas",
    "max_threads",
    "min_bytes_to_use_direct_io",
    "optimize_aggregation_in_order",
    "optimize_move_to_prewhere",
    "prefer_column_name_to_alias",
    "query_plan_optimize_lazy_materialization",
    "read_from_filesystem_cache_if_exists_otherwise_bypass_cache",
    "use_query_cache",
    "use_query_condition_cache",
    "use_skip_indexes",
    "use_skip_indexes_if_final",
];

/// Formats a response may have.
const FORMATS: &[&str] = &[
    "CSV",
    "CSVWithNames",
    "JSON",
    "JSONCompact",
    "JSONCompactEachRow",
    "JSONCompactEachRowWithNamesAndTypes",
    "JSONEachRow",
    "JSONStrings",
    "JSONStringsEachRowWithProgress",
    "Markdown",
    "Native",
    "ODBCDriver2",
    "Parquet",
    "PrettyCompact",
    "Prometheus",
    "RowBinaryWithNamesAndTypes",
    "TSV",
    "TSVWithNames",
    "TabSeparated",
    "TabSeparatedWithNamesAndTypes",
];

/// Functions that read files, name the machine, its users or other tables, call out, or hold up a thread. Lower case, sorted.
const RESTRICTED_FUNCTIONS: &[&str] = &[
    "addresstoline",
    "addresstolinewithinlines",
    "addresstosymbol",
    "aggthrow",
    "aiclassify",
    "aiembed",
    "aiextract",
    "aigenerate",
    "aitranslate",
    "authenticateduser",
    "authuser",
    "buildid",
    "catboostevaluate",
    "connection_id",
    "connectionid",
    "current_database",
    "current_query_id",
    "current_schemas",
    "current_user",
    "currentdatabase",
    "currentprofiles",
    "currentqueryid",
    "currentroles",
    "currentschemas",
    "currentuser",
    "database",
    "defaultprofiles",
    "defaultroles",
    "demangle",
    "displayname",
    "enabledprofiles",
    "enabledroles",
    "file",
    "filesystemavailable",
    "filesystemcapacity",
    "filesystemunreserved",
    "fqdn",
    "fullhostname",
    "generaterandomstructure",
    "getclienthttpheader",
    "getmacro",
    "getmaxtablenamelengthfordatabase",
    "getmergetreesetting",
    "getoskernelversion",
    "getserverport",
    "getserversetting",
    "hascolumnintable",
    "hasthreadfuzzer",
    "hostname",
    "indexhint",
    "initial_query_id",
    "initial_query_start_time",
    "initialqueryid",
    "initialquerystarttime",
    "joinget",
    "joingetornull",
    "logtrace",
    "naivebayesclassifier",
    "query_id",
    "queryid",
    "schema",
    "serveruuid",
    "session_user",
    "shardcount",
    "shardnum",
    "showcertificate",
    "sleep",
    "sleepeachrow",
    "tcpport",
    "tid",
    "transactionid",
    "transactionlatestsnapshot",
    "transactionoldestsnapshot",
    "uptime",
    "user",
    "zookeepersessionuptime",
];

/// What was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The bytes it is about.
    pub span: Range<usize>,
    /// What kind of thing is refused.
    pub what: Refused,
    /// One lower-case line that names it.
    pub message: String,
    /// What can be done about it, where something can.
    pub help: Option<String>,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refused {
    /// A statement that is not a query.
    Statement,
    /// `FORMAT` where none may stand, or an unknown one.
    Format,
    /// `INTO OUTFILE`.
    Outfile,
    /// A restricted function.
    Function,
    /// A table function that is not allowed.
    TableFunction,
    /// A setting that is not allowed.
    Setting,
    /// A system table, or a file in the place of a table.
    Table,
    /// A name that is known only when the statement runs.
    DynamicName,
    /// A query parameter that nothing binds, or that is bound for somebody else.
    Parameter,
}

/// Checks a statement against a policy. An empty list means that it may run once its table names are resolved.
pub fn guard(scan: &Scan, policy: &Policy, usage: Use) -> Vec<Violation> {
    let mut violations = Vec::new();
    violations.extend(statement(scan));
    violations.extend(ending(scan, policy, usage));
    violations.extend(functions(scan, policy));
    violations.extend(settings(scan, policy));
    for table in &scan.tables {
        violations.extend(table_violation(table, policy));
    }
    for span in &scan.dynamic_dictionaries {
        violations.push(Violation {
            span: span.clone(),
            what: Refused::DynamicName,
            message: "the name of a dictionary must be a string literal".to_owned(),
            help: None,
        });
    }
    violations.sort_by_key(|violation| violation.span.start);
    violations
}

/// The query parameters that are not among those bound for their text. Secrets are bound this way: a text from outside that names the secret of a pipe which it
/// reads would be given its value.
pub fn unbound<'a>(scan: &'a Scan, bound: &'a [String]) -> impl Iterator<Item = Violation> + 'a {
    let unbound = |parameter: &&Parameter| !bound.contains(&parameter.name);
    scan.parameters
        .iter()
        .filter(unbound)
        .map(|parameter| Violation {
            span: parameter.span.clone(),
            what: Refused::Parameter,
            message: format!("nothing binds the query parameter `{}`", parameter.name),
            help: Some(
                "templates take the values of requests: `{{ String(name) }}`, and `tb_secret` those of secrets"
                    .to_owned(),
            ),
        })
}

fn statement(scan: &Scan) -> Option<Violation> {
    let message = match &scan.kind {
        StatementKind::Select | StatementKind::Describe => {
            let span = scan.explained.clone()?;
            return Some(Violation {
                span,
                what: Refused::Statement,
                message: "`EXPLAIN` cannot be a subquery here".to_owned(),
                help: None,
            });
        }
        StatementKind::Empty => "the query is empty".to_owned(),
        StatementKind::Other(word) => {
            format!("only `SELECT` and `DESCRIBE` can run here, not `{word}`")
        }
    };
    Some(Violation {
        span: scan.kind_span.clone(),
        what: Refused::Statement,
        message,
        help: None,
    })
}

fn ending(scan: &Scan, policy: &Policy, usage: Use) -> Vec<Violation> {
    let mut violations = Vec::new();
    if let Some(earlier) = &scan.earlier_format {
        violations.push(Violation {
            span: earlier.clone(),
            what: Refused::Format,
            message: "a query has one `FORMAT`".to_owned(),
            help: None,
        });
    }
    if let Some(format) = &scan.format {
        let refusal = match usage {
            Use::Node => Some((
                "`FORMAT` cannot stand in a node".to_owned(),
                Some(
                    "the request chooses the format: `.json`, `.csv`, `.ndjson`, `.parquet`"
                        .to_owned(),
                ),
            )),
            Use::Query if policy.formats.contains(&format.name) => None,
            Use::Query => Some((
                format!("the format `{}` is not available", format.name),
                suggestion(&format.name, &policy.formats),
            )),
        };
        violations.extend(refusal.map(|(message, help)| Violation {
            span: format.span.clone(),
            what: Refused::Format,
            message,
            help,
        }));
    }
    if let Some(span) = &scan.into_outfile {
        violations.push(Violation {
            span: span.clone(),
            what: Refused::Outfile,
            message: "`INTO OUTFILE` would write a file and is not allowed".to_owned(),
            help: None,
        });
    }
    violations
}

fn functions(scan: &Scan, policy: &Policy) -> Vec<Violation> {
    let restricted = scan
        .functions
        .iter()
        .chain(&scan.openers)
        .filter(|called| is_restricted(&called.name) && !has(&policy.functions, &called.name))
        .map(|called| Violation {
            span: called.span.clone(),
            what: Refused::Function,
            message: format!("the function `{}` is not allowed", called.name),
            help: Some(permission("functions", &called.name)),
        });
    let tables = scan
        .table_functions
        .iter()
        .filter(|called| !has(&policy.table_functions, &called.name))
        .map(|called| Violation {
            span: called.span.clone(),
            what: Refused::TableFunction,
            message: format!("the table function `{}` is not allowed", called.name),
            help: Some(permission("table_functions", &called.name)),
        });
    restricted.chain(tables).collect()
}

/// Whether a list has a function's name. The engine tells letter case apart for some functions and not for others, and no two functions differ in
/// nothing else.
fn has(names: &BTreeSet<String>, name: &str) -> bool {
    names.contains(name) || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether calling a function is refused unless a policy allows it.
fn is_restricted(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.starts_with("__") || RESTRICTED_FUNCTIONS.binary_search(&lower.as_str()).is_ok()
}

fn settings(scan: &Scan, policy: &Policy) -> Vec<Violation> {
    let most = policy.memory_bytes;
    let raises = |setting: &&Setting| {
        let lowers = setting
            .value
            .is_some_and(|bytes| 0 < bytes && bytes <= most);
        most > 0 && setting.name == "max_memory_usage" && !lowers
    };
    let raised = scan
        .settings
        .iter()
        .filter(raises)
        .map(|setting| Violation {
            span: setting.span.clone(),
            what: Refused::Setting,
            message: format!("`max_memory_usage` can only lower the limit, which is {most} bytes"),
            help: Some(
                "a project can raise it: `[limits] memory_bytes` in pipewright.toml".to_owned(),
            ),
        });
    let unknown = scan
        .settings
        .iter()
        .filter(|setting| !policy.settings.contains(&setting.name))
        .map(|setting| Violation {
            span: setting.span.clone(),
            what: Refused::Setting,
            message: format!("the setting `{}` is not allowed", setting.name),
            help: suggestion(&setting.name, &policy.settings)
                .or_else(|| Some(permission("settings", &setting.name))),
        });
    raised.chain(unknown).collect()
}

/// Databases that the engine has of itself.
const ENGINE_DATABASES: &[&str] = &["system", "information_schema"];

fn table_violation(table: &TableReference, policy: &Policy) -> Option<Violation> {
    let shown = table.display_name();
    let (what, message, help) = if table.is_literal
        && matches!(table.position, Position::From | Position::Describe)
    {
        let message =
            format!("`{shown}` is a string: a table is named without quotes or in back quotes");
        (Refused::Table, message, None)
    } else if table.parameter {
        let message = format!(
            "the table's name is the parameter `{shown}`: it must be known before the query runs"
        );
        (Refused::DynamicName, message, None)
    } else if names_a_file(table) {
        let message = format!("`{shown}` names a file: only data sources and nodes can be read");
        (Refused::Table, message, None)
    } else if is_engine_table(table, policy) {
        let message = format!("the system table `{shown}` is not allowed");
        (
            Refused::Table,
            message,
            Some(permission("system_tables", &table.name)),
        )
    } else {
        return None;
    };
    Some(Violation {
        span: table.span.clone(),
        what,
        message,
        help,
    })
}

/// The embedded engine opens a file where a table's name is a path.
fn names_a_file(table: &TableReference) -> bool {
    let path_like = |name: &str| {
        name.bytes()
            .any(|byte| matches!(byte, b'/' | b'\\' | b'*' | b'?' | b'{' | b'~' | b'\0'))
    };
    // A name after IN that nothing resolves goes to the engine as it is, so a relative path must not pass there either.
    let dotted = table.position == Position::In && table.name.contains('.');
    path_like(&table.name) || table.database.as_deref().is_some_and(path_like) || dotted
}

fn is_engine_table(table: &TableReference, policy: &Policy) -> bool {
    let Some(database) = &table.database else {
        return false;
    };
    ENGINE_DATABASES
        .iter()
        .any(|name| database.eq_ignore_ascii_case(name))
        && !(database == "system" && policy.system_tables.contains(&table.name))
}

fn permission(list: &str, name: &str) -> String {
    format!("a project can permit it: `[allow] {list} = [\"{name}\"]` in pipewright.toml")
}

fn suggestion(name: &str, known: &BTreeSet<String>) -> Option<String> {
    known
        .iter()
        .map(|known| {
            let distance = strsim::damerau_levenshtein(
                &known.to_ascii_lowercase(),
                &name.to_ascii_lowercase(),
            );
            (distance, known)
        })
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, known)| format!("did you mean `{known}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restricted_function_is_refused_without_brackets_too() {
        let refused = |text: &str| {
            let scan = super::super::scan(text).unwrap();
            !guard(&scan, &Policy::default(), Use::Query).is_empty()
        };
        for text in [
            "SELECT currentUser",
            "SELECT CURRENT_USER",
            "SELECT (`currentUser`)",
            "SELECT 1 WHERE current_database = 'x'",
            "SELECT naiveBayesClassifier('x', 'y')",
        ] {
            assert!(refused(text), "{text}");
        }
        for text in [
            "SELECT user FROM t",
            "SELECT t.session_user FROM t",
            "SELECT x AS current_user FROM t",
            "SELECT 'currentUser'",
        ] {
            assert!(!refused(text), "{text}");
        }
    }

    #[test]
    fn the_list_of_restricted_functions_can_be_searched() {
        assert!(RESTRICTED_FUNCTIONS.is_sorted());
        assert!(is_restricted("FILE") && is_restricted("hostName") && !is_restricted("sum"));
    }
}
