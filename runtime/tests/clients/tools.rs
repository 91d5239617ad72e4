//! The clients, installed once for all tests and for the next run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// One installation at a time: tests run side by side.
static INSTALLING: Mutex<()> = Mutex::new(());

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The folder of the programs that Python packages bring.
pub(crate) fn python() -> PathBuf {
    programs("clients-python", include_str!("requirements.txt"))
}

/// The same of the packages for Forward, whose modules have the names of the others.
pub(crate) fn python_of_forward() -> PathBuf {
    let wanted = include_str!("requirements_forward.txt");
    programs("clients-python-forward", wanted)
}

fn programs(name: &str, wanted: &str) -> PathBuf {
    let folder = folder(name);
    let programs = folder.join("bin");
    install(&folder, wanted, |list| {
        run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
            "python3 with its module venv (on Debian: python3-venv)",
        );
        run(
            Command::new(programs.join("pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(list),
            "pip",
        );
    });
    programs
}

/// The folder in which scripts find the npm packages.
pub(crate) fn node() -> PathBuf {
    let folder = folder("clients-node");
    let wanted = include_str!("package.json");
    install(&folder, wanted, |_| {
        std::fs::write(folder.join("package.json"), wanted).expect("a file");
        run(
            Command::new("npm")
                .args([
                    "install",
                    "--no-audit",
                    "--no-fund",
                    "--no-package-lock",
                    "--ignore-scripts",
                    "--silent",
                ])
                .current_dir(&folder),
            "npm",
        );
    });
    folder
}

/// Installs what is wanted, unless it was installed before. The marker is written last, so that what was cut off is begun anew.
fn install(folder: &Path, wanted: &str, work: impl FnOnce(&Path)) {
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let marker = folder.join("installed");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return;
    }
    _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("a folder below the target folder");
    let list = folder.with_extension("txt");
    std::fs::write(&list, wanted).expect("a file");
    work(&list);
    std::fs::write(marker, wanted).expect("a file");
}

fn run(command: &mut Command, what: &str) {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("{what} is needed: {error}"));
    assert!(done.status.success(), "{what} failed: {}", said(&done));
}

/// All that a program has said.
pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
