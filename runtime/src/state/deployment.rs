//! One deployment, as the journal has it.

use std::collections::BTreeMap;

/// How a deployment ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentStatus {
    /// Begun and not ended: going on, or cut off.
    Running,
    /// All steps are done.
    Done,
    /// A step failed, and nothing has changed.
    Failed,
    /// Planned, and not begun: it waits to be brought into force.
    Staged,
}

impl DeploymentStatus {
    /// The status as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Staged => "staged",
        }
    }

    pub(super) fn parse(text: &str, staged: i64) -> Self {
        match text {
            _ if staged > 0 => Self::Staged,
            "done" => Self::Done,
            "failed" => Self::Failed,
            _ => Self::Running,
        }
    }
}

/// How far a running deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentPhase {
    /// The old version is in force; tables are made beside those that are used.
    Preparing,
    /// The new version is in force as soon as tables have changed places.
    Switching,
    /// A table could not change its place: what was done is taken back.
    Undoing,
    /// The new version is in force; what nobody needs any more goes.
    Cleaning,
}

impl DeploymentPhase {
    /// The phase as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Switching => "switching",
            Self::Undoing => "undoing",
            Self::Cleaning => "cleaning",
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        match text {
            "switching" => Self::Switching,
            "undoing" => Self::Undoing,
            "cleaning" => Self::Cleaning,
            _ => Self::Preparing,
        }
    }
}

/// Why a version is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentKind {
    /// It was asked for.
    Deploy,
    /// A process began with it.
    Start,
    /// To get back to the version before.
    Rollback,
    /// A change through the API. No version: it is in the journal until the engine has it, and gone afterwards.
    Change,
    /// Rows take the place of others, with all that views make of them. No version: it is in the journal while it runs, and gone afterwards.
    Replace,
}

impl DeploymentKind {
    /// The kind as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Start => "start",
            Self::Rollback => "rollback",
            Self::Change => "change",
            Self::Replace => "replace",
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        match text {
            "start" => Self::Start,
            "rollback" => Self::Rollback,
            "change" => Self::Change,
            "replace" => Self::Replace,
            _ => Self::Deploy,
        }
    }
}

/// The texts of a version by path.
pub(super) type Files = BTreeMap<String, String>;

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its number, counted up.
    pub id: i64,
    /// The hash of the artifacts it deploys.
    pub artifact_hash: String,
    /// How it ended.
    pub status: DeploymentStatus,
    /// When it began, in milliseconds since 1970.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
    /// Why it was made.
    pub kind: DeploymentKind,
    /// How far it is, while it runs.
    pub phase: DeploymentPhase,
    /// What another process needs to finish it or to take it back, as JSON.
    pub journal: String,
    /// Its steps, as JSON.
    pub steps: String,
    /// Why it failed, or what could not be cleaned up.
    pub error: Option<String>,
    /// Whether it has been rolled back.
    pub undone: bool,
}

/// What is known when a deployment begins.
#[derive(Debug, Clone, Copy)]
pub struct NewDeployment<'a> {
    /// The hash of the artifacts.
    pub artifact_hash: &'a str,
    /// Why it is made.
    pub kind: DeploymentKind,
    /// The files of the new version.
    pub files: &'a Files,
    /// The files of the version that is in force, where they are known.
    pub before: Option<&'a Files>,
    /// The steps, as JSON.
    pub steps: &'a str,
}
