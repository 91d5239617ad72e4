//! Finding the engine's library, and fetching it when it is missing.
//!
//! The library comes in an npm package, one for each platform, through the npm client, so that the user's registry,
//! proxy and credentials apply. A pinned version goes in; a checked, unpacked file in the user's cache folder comes
//! out. It appears there by one rename, so that an interrupted installation leaves nothing that could be mistaken for
//! the engine, and two processes that install at once do not disturb each other.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha512};

/// The version of the package, whose ClickHouse is 26.7.
pub const VERSION: &str = "26.7.3-stable.1";

/// The file in the package and in the cache.
const FILE: &str = "libchdb.so";

/// The package for one platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Package {
    os: &'static str,
    cpu: &'static str,
    name: &'static str,
    /// SHA-512 of the archive, in hex; where it is not pinned, npm's own check of the archive has to do.
    sha512: Option<&'static str>,
}

const PACKAGES: &[Package] = &[
    Package {
        os: "linux",
        cpu: "x86_64",
        name: "@chdb/lib-linux-x64-gnu",
        sha512: Some(
            "5cff7b98caa7739b59a4a432c11f0dedc2d3b073624e61ebdf4a42e66ce8de35a6ba48ca9f62016bad1cd81fe059435cb858ce3235a8a2b408082a81563e70a7",
        ),
    },
    Package {
        os: "linux",
        cpu: "aarch64",
        name: "@chdb/lib-linux-arm64-gnu",
        sha512: None,
    },
    Package {
        os: "macos",
        cpu: "aarch64",
        name: "@chdb/lib-darwin-arm64",
        sha512: None,
    },
    Package {
        os: "macos",
        cpu: "x86_64",
        name: "@chdb/lib-darwin-x64",
        sha512: None,
    },
];

/// Why the engine could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// There is no npm client.
    #[error(
        "installing the engine needs npm: install Node.js, or name a libchdb with PIPEWRIGHT_CHDB"
    )]
    NpmMissing,
    /// There is no package for this platform.
    #[error(
        "there is no engine for {os} on {cpu}: use a Linux with glibc or a Mac, name a libchdb with PIPEWRIGHT_CHDB, or use a ClickHouse server"
    )]
    Platform {
        /// The operating system, with its C library where that is the trouble.
        os: &'static str,
        /// The processor.
        cpu: &'static str,
    },
    /// There is no folder to keep the library in.
    #[error("no cache folder is known: set PIPEWRIGHT_CACHE or HOME")]
    NoCache,
    /// npm did not deliver the package.
    #[error("npm could not fetch {package}: {message}")]
    Npm {
        /// The package and its version.
        package: String,
        /// The last lines of what npm said.
        message: String,
    },
    /// The archive is not the one that was pinned.
    #[error(
        "the archive of {package} is not the expected one (its SHA-512 differs); nothing was installed"
    )]
    Checksum {
        /// The package and its version.
        package: String,
    },
    /// The archive lacks the library.
    #[error("the archive of {package} holds no {FILE}; nothing was installed")]
    Archive {
        /// The package and its version.
        package: String,
    },
    /// Reading or writing files failed.
    #[error("the engine could not be installed in {}: {source}", .folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

/// How far an installation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another process is installing; this one waits for it.
    Waiting,
    /// npm downloads the archive; its size is not known before it is there.
    Downloading {
        /// Bytes so far.
        bytes: u64,
    },
    /// The archive is compared with the pinned checksum.
    Checking,
    /// The library is unpacked.
    Unpacking {
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// Where the library is: named by `PIPEWRIGHT_CHDB`, or in the cache.
pub fn locate() -> Option<PathBuf> {
    locate_in(&|name| std::env::var_os(name))
}

/// Why [`locate`] finds nothing, and what helps.
pub fn absence() -> String {
    match named_in(&|name| std::env::var_os(name)) {
        Some(path) => format!(
            "PIPEWRIGHT_CHDB names `{}`, and there is no such file",
            path.display()
        ),
        None => "the embedded ClickHouse is not installed; `pipewright engine install` fetches it"
            .to_owned(),
    }
}

/// The file that `PIPEWRIGHT_CHDB` names and that is not there.
pub fn missing() -> Option<PathBuf> {
    named_in(&|name| std::env::var_os(name)).filter(|path| !path.is_file())
}

/// The file where [`install`] puts the library.
pub fn cached_path() -> Option<PathBuf> {
    Some(library_folder(&|name| std::env::var_os(name))?.join(FILE))
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn named_in(environment: Environment<'_>) -> Option<PathBuf> {
    let named = environment("PIPEWRIGHT_CHDB").filter(|path| !path.is_empty());
    named.map(PathBuf::from)
}

fn locate_in(environment: Environment<'_>) -> Option<PathBuf> {
    let path = match named_in(environment) {
        Some(path) => path,
        None => library_folder(environment)?.join(FILE),
    };
    path.is_file().then_some(path)
}

fn library_folder(environment: Environment<'_>) -> Option<PathBuf> {
    let folder = |name: &str| {
        environment(name)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let cache = folder("PIPEWRIGHT_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("pipewright")))
        .or_else(|| {
            let caches = if cfg!(target_os = "macos") {
                "Library/Caches"
            } else {
                ".cache"
            };
            folder("HOME").map(|home| home.join(caches).join("pipewright"))
        })?;
    Some(cache.join("chdb").join(VERSION))
}

/// Installs the library in the cache, unless it is there, and returns its path. Blocks; `progress` is called often.
pub fn install(progress: &mut dyn FnMut(Step)) -> Result<PathBuf, InstallError> {
    let package = package()?;
    let folder = library_folder(&|name| std::env::var_os(name)).ok_or(InstallError::NoCache)?;
    Installation {
        package,
        folder,
        npm: PathBuf::from("npm"),
    }
    .run(progress)
}

fn package() -> Result<Package, InstallError> {
    let (os, cpu) = (std::env::consts::OS, std::env::consts::ARCH);
    if cfg!(target_env = "musl") {
        return Err(InstallError::Platform {
            os: "Linux with musl",
            cpu,
        });
    }
    let found = PACKAGES
        .iter()
        .find(|package| package.os == os && package.cpu == cpu);
    found.copied().ok_or(InstallError::Platform { os, cpu })
}

/// One package on its way into one folder.
struct Installation {
    package: Package,
    folder: PathBuf,
    npm: PathBuf,
}

impl Installation {
    fn run(&self, progress: &mut dyn FnMut(Step)) -> Result<PathBuf, InstallError> {
        let library = self.folder.join(FILE);
        fs::create_dir_all(&self.folder).map_err(|source| self.io(source))?;
        let _lock = self.lock(progress).map_err(|source| self.io(source))?;
        if library.is_file() {
            return Ok(library);
        }
        self.sweep().map_err(|source| self.io(source))?;
        // The folder with everything unfinished goes when this value does, whatever happens.
        let work = tempfile::Builder::new()
            .prefix(WORK)
            .tempdir_in(&self.folder);
        let work = work.map_err(|source| self.io(source))?;
        let archive = self.download(work.path(), progress)?;
        if let Some(expected) = self.package.sha512 {
            progress(Step::Checking);
            let found = sha512(&archive).map_err(|source| self.io(source))?;
            if found != expected {
                return Err(InstallError::Checksum {
                    package: self.spec(),
                });
            }
        }
        let unpacked = work.path().join(FILE);
        let found = unpack(&archive, &unpacked, progress).map_err(|source| self.io(source))?;
        if !found {
            return Err(InstallError::Archive {
                package: self.spec(),
            });
        }
        fs::rename(&unpacked, &library).map_err(|source| self.io(source))?;
        Ok(library)
    }

    fn spec(&self) -> String {
        format!("{}@{VERSION}", self.package.name)
    }

    fn io(&self, source: io::Error) -> InstallError {
        InstallError::Io {
            folder: self.folder.clone(),
            source,
        }
    }

    /// Waits until no other process installs.
    fn lock(&self, progress: &mut dyn FnMut(Step)) -> io::Result<File> {
        let lock = File::create(self.folder.join("lock"))?;
        if lock.try_lock().is_err() {
            progress(Step::Waiting);
            lock.lock()?;
        }
        Ok(lock)
    }

    /// Removes what installations that were killed left behind. Called with the lock held.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(WORK) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Has npm put the archive into `work`.
    fn download(
        &self,
        work: &Path,
        progress: &mut dyn FnMut(Step),
    ) -> Result<PathBuf, InstallError> {
        const LOOK: Duration = Duration::from_millis(200);
        let said = work.join("npm.log");
        let log = File::create(&said).map_err(|source| self.io(source))?;
        let started = Command::new(&self.npm)
            .args([
                "pack",
                "--loglevel=error",
                "--ignore-scripts",
                "--no-audit",
                "--no-update-notifier",
                // Without a network, its own two further attempts would take more than a minute.
                "--fetch-retries=1",
                "--fetch-retry-mintimeout=1000",
                "--fetch-retry-maxtimeout=2000",
            ])
            // A cache of its own in the work folder: its growth is the progress, and 170 MB do not stay behind.
            .arg("--cache")
            .arg(work.join("npm"))
            .arg("--pack-destination")
            .arg(work)
            .arg(self.spec())
            .current_dir(work)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut npm = match started {
            Ok(npm) => Ended(npm),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(InstallError::NpmMissing);
            }
            Err(error) => return Err(self.io(error)),
        };
        let status = loop {
            if let Some(status) = npm.0.try_wait().map_err(|source| self.io(source))? {
                break status;
            }
            progress(Step::Downloading {
                bytes: size_below(work),
            });
            std::thread::sleep(LOOK);
        };
        let archive = archive_in(work).map_err(|source| self.io(source))?;
        match archive {
            Some(archive) if status.success() => Ok(archive),
            _ => Err(InstallError::Npm {
                package: self.spec(),
                message: last_lines(&fs::read_to_string(&said).unwrap_or_default(), status),
            }),
        }
    }
}

/// How folders for unfinished work begin.
const WORK: &str = "unfinished-";

/// A child process that does not outlive its owner.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail for a process that has ended, which is the usual case.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes in all files below `folder`, as far as they can be read while npm writes them.
fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_below(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn archive_in(work: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tgz") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What npm said last, on one line.
/// What npm said that tells people most: why it had no connection, else the first of its lines.
fn last_lines(said: &str, status: std::process::ExitStatus) -> String {
    const UNREACHED: &str = "failed, reason: ";
    let errors: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("npm error "))
        .filter(|line| !line.contains("complete log of this run"))
        .take(6)
        .collect();
    let unreached = errors.iter().find_map(|line| line.split_once(UNREACHED));
    if let Some((_, reason)) = unreached {
        return format!(
            "its registry is not reached ({reason}); without a network, name a libchdb with PIPEWRIGHT_CHDB"
        );
    }
    if errors.is_empty() {
        status.to_string()
    } else {
        errors[..errors.len().min(3)].join("; ")
    }
}

fn sha512(path: &Path) -> io::Result<String> {
    let mut hash = Sha512::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    Ok(base16ct::lower::encode_string(&hash.finalize()))
}

/// Unpacks the library from the archive to `target`; false if the archive holds none.
fn unpack(archive: &Path, target: &Path, progress: &mut dyn FnMut(Step)) -> io::Result<bool> {
    let compressed = BufReader::with_capacity(1 << 18, File::open(archive)?);
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(compressed));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.file_name().is_none_or(|name| name != FILE)
            || !entry.header().entry_type().is_file()
        {
            continue;
        }
        let total = entry.size();
        let mut file = File::create(target)?;
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = 0;
        loop {
            let read = entry.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            file.write_all(&buffer[..read])?;
            bytes += read as u64;
            progress(Step::Unpacking { bytes, total });
        }
        // On disk before it gets its name: a power cut must not leave a name for half a file.
        file.sync_all()?;
        return Ok(bytes == total);
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
