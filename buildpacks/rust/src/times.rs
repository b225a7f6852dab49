//! The times of sources, by which Cargo decides what to compile again.
//!
//! They are those of whoever made this copy of the app: a fresh clone would compile everything, and an older file in
//! the place of a newer one nothing. So a file whose content is that of the last build gets the time that it had
//! there, and any other the time of now.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cnb_buildpack::{Failure, tree};

/// Sets the times of the app's files by the record in `file`, and writes the new record.
pub(crate) fn settle(app: &Path, files: &tree::Snapshot, file: &Path) -> Result<(), Failure> {
    let known = read(file);
    let now = SystemTime::now();
    let mut record = String::new();
    for (path, node) in files {
        let tree::Node::File(_, hash) = node else { continue };
        let (hash, name) = (tree::hex(hash), path.to_string_lossy());
        let time = known.get(&*name).filter(|(known, _)| *known == hash).map_or(now, |(_, time)| *time);
        // Times are the owner's to set, whatever the file's mode.
        fs_err::File::open(app.join(path))?.file().set_modified(time)?;
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        record.extend([hash, format!(" {} {name}\n", since.as_nanos())]);
    }
    Ok(fs_err::write(file, record)?)
}

fn read(file: &Path) -> BTreeMap<String, (String, SystemTime)> {
    // Without a record, or with one that is damaged, everything is new.
    let text = fs_err::read_to_string(file).unwrap_or_default();
    let entry = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (hash, time, name) = (words.next()?, words.next()?.parse::<u64>().ok()?, words.next()?);
        Some((name.to_owned(), (hash.to_owned(), UNIX_EPOCH + Duration::from_nanos(time))))
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::{Path, settle, tree};

    #[test]
    fn only_a_file_with_another_content_gets_another_time() {
        let dir = tempfile::tempdir().unwrap();
        let (app, record) = (dir.path().join("app"), dir.path().join("record"));
        let time = |name: &str| app.join(name).metadata().unwrap().modified().unwrap();
        let copy = |changed: &str| {
            tree::remove(&app).unwrap();
            fs_err::create_dir(&app).unwrap();
            fs_err::write(app.join("same name.rs"), "1").unwrap();
            fs_err::write(app.join("changed.rs"), changed).unwrap();
            let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
            fs_err::File::open(app.join("changed.rs")).unwrap().file().set_modified(old).unwrap();
            settle(&app, &tree::snapshot(&app, &|_: &Path| false).unwrap(), &record).unwrap();
            (time("same name.rs"), time("changed.rs"))
        };
        let first = copy("1");
        assert_eq!(copy("1"), first);
        let third = copy("2");
        assert_eq!(third.0, first.0);
        assert!(third.1 > first.1);
        fs_err::write(&record, "damaged\n\n1 x y").unwrap();
        assert!(copy("2").0 > first.0);
    }
}
