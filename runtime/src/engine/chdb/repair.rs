//! What the engine remembers of inserts × the parts that are there: a memory of a part that is not there is taken back.
//!
//! The engine notes a block's token before it puts the block's part in place. A process that is killed in between leaves a note of rows that never were, and the
//! next insert under that token would be taken for done. So before the engine opens its data, each note without a part gets the engine's own mark for a part that
//! was dropped. Nothing else of the data is touched; a log in another form than the one known here is left alone.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Repairs the memory of every table of the embedded engine whose data is in `<state>/chdb`. To be called before the engine is opened; returns how many notes
/// were taken back.
pub(super) fn repair(state: &Path) -> io::Result<usize> {
    let mut repaired = 0;
    for prefix in folders(&state.join("chdb").join("store"))? {
        for table in folders(&prefix)? {
            let logs = table.join("deduplication_logs");
            if logs.is_dir() {
                repaired += repair_table(&table, &logs)?;
            }
        }
    }
    Ok(repaired)
}

fn folders(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

fn repair_table(table: &Path, logs: &Path) -> io::Result<usize> {
    let mut numbered: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(logs)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let number = name
            .strip_prefix("deduplication_log_")
            .and_then(|rest| rest.strip_suffix(".txt")?.parse().ok());
        if let Some(number) = number {
            numbered.insert(number, path);
        }
    }
    let Some(last) = numbered.values().next_back().cloned() else {
        return Ok(0);
    };
    let mut noted: BTreeMap<String, String> = BTreeMap::new();
    let mut text = String::new();
    for path in numbered.values() {
        text = fs::read_to_string(path)?;
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                ["1", part, block] => _ = noted.insert(block.to_owned(), part.to_owned()),
                ["2", _, block] => _ = noted.remove(block),
                // A line that is cut off at the end of the last log, or a form that is not known.
                _ if path == &last => {}
                _ => return Ok(0),
            }
        }
    }
    let there: Vec<Part> = folders(table)?
        .iter()
        .filter_map(|folder| Part::parse(&folder.file_name()?.to_string_lossy()))
        .collect();
    let lost: Vec<(&String, &String)> = noted
        .iter()
        .filter(|(_, part)| {
            Part::parse(part).is_some_and(|part| !there.iter().any(|found| found.covers(&part)))
        })
        .collect();
    if lost.is_empty() {
        return Ok(0);
    }
    let mut file = OpenOptions::new().append(true).open(&last)?;
    if !text.is_empty() && !text.ends_with('\n') {
        file.set_len(text.rfind('\n').map_or(0, |at| at as u64 + 1))?;
    }
    for (block, part) in &lost {
        writeln!(file, "2\t{part}\t{block}")?;
    }
    file.sync_all()?;
    Ok(lost.len())
}

/// A part by its name: `<partition>_<first block>_<last block>_<level>[_<mutation>]`.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    partition: String,
    first: u64,
    last: u64,
}

impl Part {
    fn parse(name: &str) -> Option<Self> {
        let fields: Vec<&str> = name.split('_').collect();
        let ([partition, first, last, level] | [partition, first, last, level, _]) = fields[..]
        else {
            return None;
        };
        level.parse::<u64>().ok()?;
        Some(Self {
            partition: partition.to_owned(),
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        })
    }

    fn covers(&self, other: &Self) -> bool {
        self.partition == other.partition && self.first <= other.first && self.last >= other.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_without_a_part_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("chdb/store/abc/abc-1");
        for part in [
            "all_1_4_2",
            "all_6_6_0",
            "tmp_insert_all_7_7_0",
            "detached",
            "deduplication_logs",
            "20260101_3_3_0_9",
        ] {
            fs::create_dir_all(table.join(part)).unwrap();
        }
        let log = table.join("deduplication_logs/deduplication_log_2.txt");
        fs::write(
            table.join("deduplication_logs/deduplication_log_1.txt"),
            "1\tall_2_2_0\tb2\n1\tall_5_5_0\tb5\n",
        )
        .unwrap();
        fs::write(&log, "2\tall_5_5_0\tb5\n1\tall_6_6_0\tb6\n1\tall_7_7_0\tb7\n1\t20260101_3_3_0\tc3\n1\t20260101_4_4_0\tc4\n1\tall_8").unwrap();
        assert_eq!(repair(folder.path()).unwrap(), 2);
        assert_eq!(
            fs::read_to_string(&log).unwrap(),
            "2\tall_5_5_0\tb5\n1\tall_6_6_0\tb6\n1\tall_7_7_0\tb7\n1\t20260101_3_3_0\tc3\n1\t20260101_4_4_0\tc4\n2\tall_7_7_0\tb7\n2\t20260101_4_4_0\tc4\n"
        );
        assert_eq!(repair(folder.path()).unwrap(), 0);
    }

    #[test]
    fn a_log_in_another_form_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder
            .path()
            .join("chdb/store/abc/abc-1/deduplication_logs");
        fs::create_dir_all(&logs).unwrap();
        for name in ["deduplication_log_1.txt", "deduplication_log_2.txt"] {
            fs::write(logs.join(name), "{\"part\": \"all_1_1_0\"}\n").unwrap();
        }
        assert_eq!(repair(folder.path()).unwrap(), 0);
        assert_eq!(repair(&folder.path().join("nothing")).unwrap(), 0);
    }
}
