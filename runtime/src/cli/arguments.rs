//! Every command, flag and environment variable. Help, docs and completions come from here.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Compiles folders of .pipe and .datasource files into ClickHouse SQL, and serves them as an API.
#[derive(Debug, Parser)]
#[command(
    name = "pipewright",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    /// The project folder [default: the project around the current folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a small project to start from
    Init(Init),
    /// Find mistakes without running anything
    Check(Check),
    /// Write the compiled SQL, DDL, explain output, API description and lineage
    Build(Build),
    /// Print the SQL that a pipe or node sends to the engine
    Compile(Compile),
    /// Show what a rule of `check` finds, and why
    Rule(Rule),
    /// Show a pipe's parameters, nodes, tables and SQL
    Explain(Explain),
    /// Show where a column comes from, where it goes, and what breaks without it
    Lineage(Lineage),
    /// Show what callers of the endpoints would notice between two versions
    Diff(Diff),
    /// Show what a deploy would change in the engine
    Plan(Deploy),
    /// Change the engine's tables and views into what the project says
    Deploy(Deploy),
    /// Return to the version before the last deploy, where it took nothing away
    Rollback(Deploy),
    /// Deploy what is missing and serve the endpoints over HTTP
    Serve(Serve),
    /// Write what was changed through the API, and data sources that follow from nodes, into the project's files
    Pull(Pull),
    /// Run a query over the project's pipes and data sources
    Sql(Sql),
    /// Store secrets for `tb_secret` and `tb_var`, encrypted, in the project's state folder
    #[command(subcommand)]
    Secret(Secret),
    /// Rows of data sources: in, out and away
    Datasource(Datasource),
    /// Materialized views
    Materialization(Materialization),
    /// What takes long: populates, copies, deletes, deploys
    Job(Job),
    /// Install or inspect the embedded ClickHouse
    #[command(subcommand)]
    Engine(Engine),
    /// Print what a stage of the compiler sees
    #[command(subcommand)]
    Debug(Debug),
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to make it [default: the current folder]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub(crate) struct Check {
    /// The project folder
    pub(crate) dir: Option<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) format: ReportFormat,
    /// Ask the engine about columns, functions and types too, on empty tables in a folder of its own
    #[arg(long)]
    pub(crate) types: bool,
    /// Say nothing that comes from the engine, neither asked now nor kept from `--types`
    #[arg(long, conflicts_with = "types")]
    pub(crate) no_engine: bool,
    /// Apply the fixes that keep the meaning
    #[arg(long)]
    pub(crate) fix: bool,
    /// Hold each endpoint to the granules that `[budget]` in pipewright.toml lets it read, on the project's own data
    #[arg(long, conflicts_with = "no_engine")]
    pub(crate) budget: bool,
    /// Check again whenever a file of the project changes, until the command is stopped
    #[arg(long, conflicts_with_all = ["types", "fix", "budget"])]
    pub(crate) watch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people, with the source
    Text,
    /// One line for each finding
    Concise,
    /// For machines
    Json,
    /// Annotations of GitHub Actions
    Github,
}

#[derive(Debug, Args)]
pub(crate) struct Rule {
    /// The code of the rule [default: list them all]
    pub(crate) code: Option<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The project folder
    pub(crate) dir: Option<PathBuf>,
    /// Where the artifacts go [default: build/ in the project folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) optimize: Optimize,
}

#[derive(Debug, Args)]
pub(crate) struct Compile {
    /// The pipe, or one of its nodes as PIPE.NODE
    #[arg(value_name = "PIPE[.NODE]")]
    pub(crate) target: String,
    /// A parameter's value; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub(crate) parameters: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) optimize: Optimize,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The pipe
    pub(crate) pipe: String,
    /// A parameter's value; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Do not ask the engine for types, rows and its plan
    #[arg(long)]
    pub(crate) no_engine: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
    #[command(flatten)]
    pub(crate) optimize: Optimize,
}

/// Which rules optimize the SQL of endpoints, beside what pipewright.toml says.
#[derive(Debug, Args)]
pub(crate) struct Optimize {
    /// Leave the SQL as the nodes are put into one another
    #[arg(long)]
    pub(crate) no_optimize: bool,
    /// Do not apply a rule of the optimizer; may be repeated
    #[arg(long, value_name = "RULE")]
    pub(crate) without_rule: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Lineage {
    /// The column [default: a summary of the project]
    #[arg(value_name = "DATASOURCE.COLUMN|PIPE[.NODE].COLUMN")]
    pub(crate) column: Option<String>,
    /// Only what a change of the column would break
    #[arg(long, requires = "column")]
    pub(crate) breaks: bool,
    /// List the columns of data sources that nothing published depends on
    #[arg(long, conflicts_with = "column")]
    pub(crate) unused: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The old version: a folder, or a git revision of the project
    pub(crate) old: String,
    /// The new version, likewise [default: the project as it is]
    pub(crate) new: Option<String>,
    /// How the changes are printed
    #[arg(long, value_enum, default_value_t = DiffFormat::Text)]
    pub(crate) format: DiffFormat,
    /// Compare the names of columns alone, even where the engine is installed
    #[arg(long)]
    pub(crate) no_engine: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// For people
    Text,
    /// For machines
    Json,
    /// Annotations of GitHub Actions
    Github,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The project folder
    pub(crate) dir: Option<PathBuf>,
    /// Go on also where that takes rows, values, or what the API made or changed away
    #[arg(long)]
    pub(crate) allow_destructive: bool,
    /// Only show what would change
    #[arg(long)]
    pub(crate) check: bool,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Args)]
pub(crate) struct Datasource {
    #[command(subcommand)]
    pub(crate) command: DatasourceCommand,
    /// How answers are printed
    #[arg(long, value_enum, global = true, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Rows on their way into a data source.
#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// The data source
    pub(crate) name: String,
    /// The file, also compressed; `-` is standard input
    pub(crate) file: PathBuf,
    /// How the rows are written [default: as the name of the file says]
    #[arg(long = "rows", value_enum)]
    pub(crate) kind: Option<RowFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// Comma-separated values
    Csv,
    /// A JSON object in each line
    Ndjson,
    /// Apache Parquet
    Parquet,
}

impl RowFormat {
    /// The name that the API has for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatasourceCommand {
    /// List the data sources with their rows
    #[command(name = "ls")]
    List,
    /// Add the rows of a file
    Append(Rows),
    /// Put the rows of a file in place of all rows, or of those that a condition names
    Replace {
        #[command(flatten)]
        rows: Rows,
        /// Which rows go, as an SQL condition [default: all]
        #[arg(long, value_name = "SQL")]
        condition: Option<String>,
    },
    /// Take all rows away
    Truncate {
        /// The data source
        name: String,
        /// Really
        #[arg(long)]
        yes: bool,
    },
    /// Take the rows away that a condition names
    Delete {
        /// The data source
        name: String,
        /// Which rows, as an SQL condition
        #[arg(long, value_name = "SQL")]
        condition: String,
        /// Only count them
        #[arg(long)]
        dry_run: bool,
    },
    /// Write all rows to a file or to standard output
    Export {
        /// The data source
        name: String,
        /// How they are written
        #[arg(long, value_enum, default_value_t = RowFormat::Csv)]
        rows: RowFormat,
        /// The file [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Find out the columns and types of a file
    Analyze {
        /// The file; `-` is standard input
        file: PathBuf,
        /// How the rows are written [default: as the name of the file says]
        #[arg(long, value_enum)]
        rows: Option<RowFormat>,
    },
    /// Show some rows
    Sample {
        /// The data source
        name: String,
        /// How many
        #[arg(long, default_value_t = 10)]
        limit: u32,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Materialization {
    #[command(subcommand)]
    pub(crate) command: MaterializationCommand,
    /// How answers are printed
    #[arg(long, value_enum, global = true, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaterializationCommand {
    /// Put what was there before a view into what it fills
    Populate {
        /// The pipe, or one of its nodes as PIPE.NODE
        #[arg(value_name = "PIPE[.NODE]")]
        target: String,
        /// Empty what it fills before
        #[arg(long)]
        truncate: bool,
        /// Which rows count, as an SQL condition
        #[arg(long, value_name = "SQL")]
        condition: Option<String>,
        /// Which share of the rows counts, from 0 to 0.1
        #[arg(long, value_name = "SHARE")]
        subset: Option<f64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Job {
    #[command(subcommand)]
    pub(crate) command: JobCommand,
    /// How answers are printed
    #[arg(long, value_enum, global = true, default_value_t = OutputFormat::Text)]
    pub(crate) format: OutputFormat,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List the latest jobs
    #[command(name = "ls")]
    List,
    /// Show a job
    Show {
        /// Its id
        id: String,
    },
    /// Cancel a job
    Cancel {
        /// Its id
        id: String,
    },
}

/// The server that does it.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// The address of a running server [default: this process does it itself]
    #[arg(long, env = "PIPEWRIGHT_HOST", value_name = "URL", global = true)]
    pub(crate) host: Option<String>,
    /// A token of that server
    #[arg(
        long,
        env = "PIPEWRIGHT_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        global = true
    )]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Text,
    /// For machines
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The project folder, or a folder that `pipewright build` wrote
    pub(crate) dir: Option<PathBuf>,
    /// The address to listen on [default: 127.0.0.1, or as pipewright.toml says]
    #[arg(long)]
    pub(crate) host: Option<IpAddr>,
    /// The TCP port to listen on; 0 takes a free one [default: 7181, or as pipewright.toml says]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// The admin token [default: made at the first start, and printed once]
    #[arg(
        long,
        env = "PIPEWRIGHT_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) admin_token: Option<String>,
    #[command(flatten)]
    pub(crate) optimize: Optimize,
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The project folder
    pub(crate) dir: Option<PathBuf>,
    /// Take the API's version also where the file on disk was changed since
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// The query; a trailing FORMAT chooses the format
    pub(crate) query: String,
    /// The format of the answer when the query names none
    #[arg(long, default_value = "PrettyCompact")]
    pub(crate) format: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Engine {
    /// Download the embedded ClickHouse through npm (about 180 MB, once for all projects)
    Install,
    /// Say which engine is installed, and where
    Info,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Debug {
    /// The tokens of the SQL of each node of a pipe file
    Tokens {
        /// The .pipe file
        file: PathBuf,
    },
    /// The syntax tree of a datafile
    Syntax {
        /// The datafile
        file: PathBuf,
    },
    /// The named resources of the project
    Project,
    /// Who reads whom
    Graph,
    /// Roles, tables and parameters
    Plan,
    /// Render templates: JSON lines from stdin (`id`, `template`, `params`, `secrets`, `test_mode`) to stdout
    Render,
    /// Find the tables that statements read: JSON lines from stdin (`id`, `sql`) to stdout
    References,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// Store a secret, or give it another value; the value is read from stdin
    Set {
        /// The name that templates use
        name: String,
    },
    /// List the names of the stored secrets
    #[command(name = "ls")]
    List {
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
        format: OutputFormat,
    },
    /// Remove a secret
    #[command(name = "rm")]
    Remove {
        /// The name that templates use
        name: String,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
