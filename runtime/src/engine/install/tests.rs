//! Installations from an npm that is played by a script.

use super::*;
use std::collections::BTreeMap;

/// A folder with an archive and an `npm` that delivers it.
#[cfg(unix)]
struct Stage {
    folder: tempfile::TempDir,
    installation: Installation,
}

#[cfg(unix)]
impl Stage {
    fn new(file: &str, content: &[u8], script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("package.tgz");
        let packed = flate2::write::GzEncoder::new(
            File::create(&archive).unwrap(),
            flate2::Compression::fast(),
        );
        let mut tar = tar::Builder::new(packed);
        for (name, bytes) in [("package/package.json", b"{}".as_slice()), (file, content)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, name, bytes).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let npm = folder.path().join("npm");
        let script = script.replace("ARCHIVE", &archive.display().to_string());
        fs::write(&npm, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
        let sha512: String = sha512(&archive).unwrap();
        let installation = Installation {
            package: Package {
                os: "any",
                cpu: "any",
                name: "@test/library",
                sha512: Some(sha512.leak()),
            },
            folder: folder.path().join("cache/chdb/1"),
            npm,
        };
        Self {
            folder,
            installation,
        }
    }

    fn delivering(content: &[u8]) -> Self {
        Self::new(
            "package/libchdb.so",
            content,
            "cp ARCHIVE ./test-library.tgz",
        )
    }

    /// What is in the cache, without the lock.
    fn kept(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.installation.folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }
}

#[cfg(unix)]
#[test]
fn the_library_is_unpacked_once_with_progress() {
    let content = vec![7; 3 << 20];
    let stage = Stage::delivering(&content);
    let mut steps = Vec::new();
    let path = stage
        .installation
        .run(&mut |step| steps.push(step))
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(stage.kept(), [FILE]);
    let total = content.len() as u64;
    assert!(steps.contains(&Step::Checking));
    assert_eq!(
        steps.last(),
        Some(&Step::Unpacking {
            bytes: total,
            total
        })
    );

    // The second time there is nothing to do, with or without npm.
    fs::remove_file(&stage.installation.npm).unwrap();
    assert_eq!(
        stage
            .installation
            .run(&mut |_| panic!("nothing to do"))
            .unwrap(),
        path
    );
}

#[cfg(unix)]
#[test]
fn what_fails_leaves_nothing() {
    let mut stage = Stage::delivering(b"library");
    stage.installation.package.sha512 = Some("00");
    let error = stage.installation.run(&mut |_| ()).unwrap_err();
    assert!(matches!(error, InstallError::Checksum { .. }), "{error}");
    assert!(stage.kept().is_empty());

    let stage = Stage::new("package/other.so", b"x", "cp ARCHIVE ./test-library.tgz");
    let error = stage.installation.run(&mut |_| ()).unwrap_err();
    assert!(matches!(error, InstallError::Archive { .. }), "{error}");
    assert!(stage.kept().is_empty());

    let stage = Stage::new(
        "package/libchdb.so",
        b"x",
        "echo 'npm error code E404' >&2; exit 1",
    );
    let error = stage.installation.run(&mut |_| ()).unwrap_err();
    insta::assert_snapshot!(error, @"npm could not fetch @test/library@26.7.3-stable.1: code E404");
    assert!(stage.kept().is_empty());

    let stage = Stage::new(
        "package/libchdb.so",
        b"x",
        "echo 'npm error code ECONNREFUSED' >&2; echo 'npm error FetchError: request to the registry failed, reason: connect ECONNREFUSED' >&2; exit 1",
    );
    let error = stage.installation.run(&mut |_| ()).unwrap_err();
    insta::assert_snapshot!(error, @"npm could not fetch @test/library@26.7.3-stable.1: its registry is not reached (connect ECONNREFUSED); without a network, name a libchdb with PIPEWRIGHT_CHDB");
    assert!(stage.kept().is_empty());

    let mut stage = Stage::delivering(b"library");
    stage.installation.npm = stage.folder.path().join("missing");
    let error = stage.installation.run(&mut |_| ()).unwrap_err();
    insta::assert_snapshot!(error, @"installing the engine needs npm: install Node.js, or name a libchdb with PIPEWRIGHT_CHDB");
    assert!(stage.kept().is_empty());
}

#[cfg(unix)]
#[test]
fn leftovers_of_a_killed_installation_are_removed() {
    let stage = Stage::delivering(b"library");
    let leftover = stage.installation.folder.join("unfinished-abc");
    fs::create_dir_all(&leftover).unwrap();
    fs::write(leftover.join(FILE), b"half").unwrap();
    stage.installation.run(&mut |_| ()).unwrap();
    assert_eq!(stage.kept(), [FILE]);
}

#[cfg(unix)]
#[test]
fn two_installations_at_once_do_the_work_once() {
    let counted = "echo x >> ARCHIVE.count; sleep 0.2; cp ARCHIVE ./test-library.tgz";
    let stage = Stage::new("package/libchdb.so", b"library", counted);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| stage.installation.run(&mut |_| ()).unwrap());
        }
    });
    let count = fs::read_to_string(stage.folder.path().join("package.tgz.count")).unwrap();
    assert_eq!(count, "x\n");
}

#[test]
fn the_cache_folder_follows_the_environment() {
    let folder = |variables: &[(&str, &str)]| {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        library_folder(&|name| variables.get(name).map(OsString::from))
    };
    let below = |cache: &str| Some(Path::new(cache).join("chdb").join(VERSION));
    assert_eq!(
        folder(&[
            ("PIPEWRIGHT_CACHE", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c")
        ]),
        below("/a")
    );
    assert_eq!(
        folder(&[
            ("PIPEWRIGHT_CACHE", ""),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c")
        ]),
        below("/b/pipewright")
    );
    let home = if cfg!(target_os = "macos") {
        "/c/Library/Caches/pipewright"
    } else {
        "/c/.cache/pipewright"
    };
    assert_eq!(folder(&[("HOME", "/c")]), below(home));
    assert_eq!(folder(&[]), None);
}

#[test]
fn a_library_named_by_path_wins_and_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("mine.so");
    let find = || {
        let library = library.clone();
        locate_in(&move |name| {
            (name == "PIPEWRIGHT_CHDB").then(|| library.clone().into_os_string())
        })
    };
    assert_eq!(find(), None);
    fs::write(&library, b"x").unwrap();
    assert_eq!(find(), Some(library.clone()));
}

#[test]
#[ignore = "downloads 170 MB through the real npm"]
fn the_real_package_installs() {
    let cache = tempfile::tempdir().unwrap();
    let installation = Installation {
        package: package().unwrap(),
        folder: cache.path().to_owned(),
        npm: PathBuf::from("npm"),
    };
    let mut downloaded = 0;
    let path = installation.run(&mut |step| {
        if let Step::Downloading { bytes } = step {
            downloaded = downloaded.max(bytes);
        }
    });
    assert!(fs::metadata(path.unwrap()).unwrap().len() > 300_000_000);
    assert!(
        downloaded > 1_000_000,
        "the download shows no progress: {downloaded}"
    );
}
