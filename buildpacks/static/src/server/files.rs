//! Which file answers a request, and with which headers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::answer::{Answer, Body, Status};
use super::request::Request;

/// Files older than this have had their time set to a fixed one by whoever built the image, which says nothing.
const OLDEST_REAL_TIME: i64 = 400_000_000;
/// How many content hashes are remembered.
const MOST_TAGS: usize = 4096;

/// What makes a file the same as before: its number, size and time of change.
type Identity = (u64, u64, i64, i64);

/// The folder that is served.
#[derive(Debug)]
pub struct Site {
    root: PathBuf,
    spa: bool,
    tags: Mutex<HashMap<PathBuf, (Identity, String)>>,
}

impl Site {
    /// Opens a folder.
    pub fn open(root: &Path, spa: bool) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root, spa, tags: Mutex::default() })
    }

    /// Answers a request.
    pub fn answer(&self, request: &Request<'_>) -> Answer {
        let Some(path) = decode(request.path) else { return Answer::plain(Status::BadRequest) };
        let Some(relative) = allowed(&path) else { return self.not_found(request, &path) };
        match self.inside(&relative) {
            Some(found) if found.is_dir() && !path.ends_with('/') => {
                // Two slashes at the start would name another host.
                let to = format!("/{}/{}", request.path.trim_start_matches('/'), request.query);
                match self.inside(&relative.join("index.html")) {
                    Some(index) if index.is_file() => Answer::moved(to),
                    _ => self.not_found(request, &path),
                }
            }
            Some(found) if found.is_dir() => match self.inside(&relative.join("index.html")) {
                Some(index) if index.is_file() => self.file(request, &index, Status::Ok),
                _ => self.not_found(request, &path),
            },
            Some(found) if found.is_file() && !path.ends_with('/') => self.file(request, &found, Status::Ok),
            _ => self.with_html(request, &path, &relative),
        }
    }

    /// `/about` may mean `about.html`.
    fn with_html(&self, request: &Request<'_>, path: &str, relative: &Path) -> Answer {
        if !path.ends_with('/') && relative.extension().is_none() && relative.file_name().is_some() {
            let page = self.inside(&relative.with_extension("html"));
            if let Some(page) = page.filter(|p| p.is_file()) {
                return self.file(request, &page, Status::Ok);
            }
        }
        self.not_found(request, path)
    }

    fn not_found(&self, request: &Request<'_>, path: &str) -> Answer {
        // A missing picture is missing; only what looks like a page is the application's to show.
        let page = path.rsplit('/').next().is_none_or(|last| !last.contains('.'));
        let (name, status) =
            if self.spa && page { ("index.html", Status::Ok) } else { ("404.html", Status::NotFound) };
        match self.inside(Path::new(name)).filter(|p| p.is_file()) {
            Some(file) => self.file(request, &file, status),
            None => Answer::plain(Status::NotFound),
        }
    }

    /// Follows links, and returns the file if it lies in the folder and not in one that starts with a dot.
    fn inside(&self, relative: &Path) -> Option<PathBuf> {
        let found = self.root.join(relative).canonicalize().ok()?;
        let below = found.strip_prefix(&self.root).ok()?;
        below.components().all(|c| !is_hidden(&c.as_os_str().to_string_lossy())).then_some(found)
    }

    fn file(&self, request: &Request<'_>, path: &Path, status: Status) -> Answer {
        match self.try_file(request, path, status) {
            Ok(answer) => answer,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Answer::plain(Status::NotFound),
            Err(_) => Answer::plain(Status::ServerError),
        }
    }

    fn try_file(&self, request: &Request<'_>, path: &Path, status: Status) -> io::Result<Answer> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        let identity = (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
        let tag = self.tag(path, identity)?;
        let modified = (meta.mtime() > OLDEST_REAL_TIME).then(|| http_date(meta.mtime()));
        let mut headers = vec![
            ("Content-Type", content_type(path).to_owned()),
            ("ETag", tag.clone()),
            // The client may keep the file, and asks each time whether it is still the same.
            ("Cache-Control", "no-cache".to_owned()),
        ];
        headers.extend(modified.iter().map(|m| ("Last-Modified", m.clone())));
        if status == Status::Ok {
            headers.push(("Accept-Ranges", "bytes".to_owned()));
            let same = match (request.if_none_match, request.if_modified_since) {
                (Some(tags), _) => tags.split(',').any(|t| matches_tag(t.trim(), &tag)),
                (None, Some(since)) => modified.as_deref() == Some(since),
                (None, None) => false,
            };
            if same {
                return Ok(Answer { status: Status::NotModified, headers, body: Body::Nothing });
            }
            let range = request
                .range
                .filter(|_| request.if_range.is_none_or(|r| r == tag || Some(r) == modified.as_deref()));
            match range.and_then(|r| parse_range(r, meta.size())) {
                Some(Ok((start, length))) => {
                    let end = start + length - 1;
                    headers.push(("Content-Range", format!("bytes {start}-{end}/{}", meta.size())));
                    let body = Body::File { file, start, length };
                    return Ok(Answer { status: Status::PartialContent, headers, body });
                }
                Some(Err(())) => {
                    let mut answer = Answer::plain(Status::RangeNotSatisfiable);
                    answer.headers.push(("Content-Range", format!("bytes */{}", meta.size())));
                    return Ok(answer);
                }
                None => {}
            }
        }
        Ok(Answer { status, headers, body: Body::File { file, start: 0, length: meta.size() } })
    }

    /// Names the content of a file. Its time cannot: in an image all files have the same.
    fn tag(&self, path: &Path, identity: Identity) -> io::Result<String> {
        let known = self.tags.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        if let Some((_, tag)) = known.filter(|(of, _)| *of == identity) {
            return Ok(tag);
        }
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 64 << 10];
        // FNV-1a: not against forgers, who have no way in here, but against the same name for two contents.
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            for b in &buffer[..n] {
                hash = (hash ^ u128::from(*b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
            }
        }
        let tag = format!("\"{hash:032x}\"");
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.len() >= MOST_TAGS {
            tags.clear();
        }
        tags.insert(path.to_owned(), (identity, tag.clone()));
        Ok(tag)
    }
}

fn matches_tag(asked: &str, tag: &str) -> bool {
    asked == "*" || asked.strip_prefix("W/").unwrap_or(asked) == tag
}

/// Replaces `%XX`; `None` for what is no path: bad escapes, NUL, bytes that are not UTF-8.
fn decode(path: &str) -> Option<String> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(b) = bytes.next() {
        let b = if b == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let high = digit(bytes.next())?;
            high << 4 | digit(bytes.next())?
        } else {
            b
        };
        if b == 0 {
            return None;
        }
        out.push(b);
    }
    String::from_utf8(out).ok()
}

/// Returns the path within the folder, `None` when a component is `..` or starts with a dot.
fn allowed(path: &str) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    for part in path.split('/').filter(|p| !p.is_empty() && *p != ".") {
        if is_hidden(part) {
            return None;
        }
        relative.push(part);
    }
    Some(relative)
}

/// Names that start with a dot are not served, but for the folder that standards use for public files.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') && name != ".well-known"
}

/// Reads a `Range` of a single part; `None` to send the whole file, an error when it lies outside.
fn parse_range(value: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let (start, end) = match (first.trim(), last.trim()) {
        ("", suffix) => {
            let suffix = number(suffix)?;
            if suffix == 0 {
                return Some(Err(()));
            }
            (size.saturating_sub(suffix), size.checked_sub(1))
        }
        (start, "") => (number(start)?, size.checked_sub(1)),
        (start, end) => {
            let (start, end) = (number(start)?, number(end)?);
            if end < start {
                return None;
            }
            (start, size.checked_sub(1).map(|most| end.min(most)))
        }
    };
    match end {
        Some(end) if start <= end => Some(Ok((start, end - start + 1))),
        _ => Some(Err(())),
    }
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "xml" => "application/xml",
        "rss" => "application/rss+xml",
        "atom" => "application/atom+xml",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/vnd.microsoft.icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "application/octet-stream",
    }
}

/// Writes a time as HTTP does: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds.div_euclid(86_400);
    let rest = seconds.rem_euclid(86_400);
    // The civil calendar counted in eras of 400 years that start on 1 March.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let pick = |names: &[&'static str], n: i64| {
        usize::try_from(n).ok().and_then(|n| names.get(n).copied()).unwrap_or("")
    };
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        pick(&DAYS, days.rem_euclid(7)),
        pick(&MONTHS, month - 1),
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::{allowed, decode, http_date, parse_range};
    use std::path::Path;

    #[test]
    fn paths_stay_inside_and_out_of_hidden_folders() {
        let path = |p: &str| decode(p).and_then(|p| allowed(&p));
        assert_eq!(path("/a//b%20c/./d").as_deref(), Some(Path::new("a/b c/d")));
        assert_eq!(path("/.well-known/x").as_deref(), Some(Path::new(".well-known/x")));
        for bad in
            ["/../x", "/a/%2e%2e/x", "/a/..%2fx", "/.git/config", "/a/.env", "/%00", "/%zz", "/%f", "/%ff"]
        {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_range_is_one_part_of_the_file() {
        assert_eq!(parse_range("bytes=0-3", 10), Some(Ok((0, 4))));
        assert_eq!(parse_range("bytes=8-99", 10), Some(Ok((8, 2))));
        assert_eq!(parse_range("bytes=-3", 10), Some(Ok((7, 3))));
        assert_eq!(parse_range("bytes=4-", 10), Some(Ok((4, 6))));
        assert_eq!(parse_range("bytes=10-", 10), Some(Err(())));
        assert_eq!(parse_range("bytes=0-", 0), Some(Err(())));
        assert_eq!(parse_range("bytes=3-1", 10), None);
        assert_eq!(parse_range("bytes=0-1,3-4", 10), None);
        assert_eq!(parse_range("lines=1-2", 10), None);
    }

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
    }
}
