//! Which folder is the project, when none is named.

use std::path::{Path, PathBuf};

/// The file with the settings of a project.
pub const SETTINGS: &str = "pipewright.toml";

/// Files that mark the root of a project.
const MARKERS: &[&str] = &[
    SETTINGS,
    "tinybird.config.json",
    "tinybird.config.mjs",
    ".tinyb",
];

/// The nearest folder, from `start` upwards, that is marked as a project or has a `.pipewright` state folder; else `start` itself.
pub fn discover(start: &Path) -> PathBuf {
    let is_root = |folder: &&Path| {
        MARKERS.iter().any(|marker| folder.join(marker).is_file())
            || folder.join(".pipewright").is_dir()
    };
    start
        .ancestors()
        .find(is_root)
        .unwrap_or(start)
        .to_path_buf()
}
