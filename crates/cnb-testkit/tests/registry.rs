//! The in-process registry against programs that others wrote.

use std::path::Path;

use cnb_testkit::http::Seen;
use cnb_testkit::layout::{BigLayer, Fill, Image, Layer};
use cnb_testkit::peers::{available, run};
use cnb_testkit::registry::{Auth, Options, Registry, Storage};
use cnb_testkit::tokens::TokenPolicy;
use cnb_testkit::{digest, scratch_layout};
use serde_json::{Value, json};

/// Makes a small image as the OCI layout `image` in `dir`.
fn image(dir: &Path) {
    fs_err::create_dir_all(dir.join("tree/etc")).expect("a new directory");
    fs_err::write(dir.join("tree/etc/motd"), "hello\n").expect("a new file");
    scratch_layout(&dir.join("image"), &dir.join("tree"), &json!({"User": "cnb"})).expect("a new image");
}

/// Reads a JSON file.
fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(path).expect("a file")).expect("JSON")
}

/// Copies the image into a registry and out of it with skopeo, and compares digests.
#[track_caller]
fn check_round_trip(options: Options, credentials: &[&str]) -> Vec<Seen> {
    let dir = tempfile::tempdir().expect("a directory");
    image(dir.path());
    let registry = Registry::start(options).expect("a registry");
    let name = format!("docker://{}/some/app:v1", registry.host());
    let to = [&["--insecure-policy", "copy", "--dest-tls-verify=false", "--preserve-digests"], credentials];
    run("skopeo", &[&to.concat()[..], &["oci:image", &name]].concat(), dir.path());
    registry.assert_whole();
    assert_eq!(registry.open_uploads(), 0);
    let index = json_of(&dir.path().join("image/index.json"));
    assert_eq!(registry.tags()["some/app:v1"], index["manifests"][0]["digest"]);
    assert_eq!(registry.blobs("some/app").len(), 2);

    let from: Vec<String> = credentials.iter().map(|c| c.replace("--dest", "--src")).collect();
    let from: Vec<&str> = from.iter().map(String::as_str).collect();
    let copy = ["--insecure-policy", "copy", "--src-tls-verify=false", "--preserve-digests"];
    run("skopeo", &[&copy[..], &from, &[&name, "oci:copy"]].concat(), dir.path());
    let copy = json_of(&dir.path().join("copy/index.json"));
    assert_eq!(copy["manifests"][0]["digest"], index["manifests"][0]["digest"]);
    registry.journal().seen()
}

#[test]
fn skopeo_copies_an_image_in_and_out() {
    if available(&["skopeo"]) {
        check_round_trip(Options::default(), &[]);
        check_round_trip(Options { storage: Storage::Directory, ..Options::default() }, &[]);
        check_round_trip(Options { absolute_locations: true, single_post: false, ..Options::default() }, &[]);
    }
}

#[test]
fn skopeo_says_who_it_is_either_way() {
    if !available(&["skopeo"]) {
        return;
    }
    let (user, password) = ("user".to_owned(), "secret".to_owned());
    let basic = Options { auth: Auth::Basic { user, password }, ..Options::default() };
    let seen = check_round_trip(basic, &["--dest-creds=user:secret"]);
    assert!(seen.iter().any(|s| s.status == Some(401)));
    let bearer = Options { auth: Auth::Bearer(TokenPolicy::new("user", "secret")), ..Options::default() };
    let seen = check_round_trip(bearer, &["--dest-creds=user:secret"]);
    assert!(seen.iter().any(|s| s.request.path() == "/token" && s.status == Some(200)));
}

/// Runs curl against a registry; returns head and body of the answer.
#[track_caller]
fn curl(registry: &Registry, args: &[&str], path: &str) -> String {
    let url = format!("http://{}{path}", registry.host());
    let args = [&["-sS", "-i", "--max-time", "20"], args, &[&url]].concat();
    run("curl", &args, Path::new("/"))
}

#[test]
fn blobs_come_in_parts_and_whole() {
    if !available(&["curl"]) {
        return;
    }
    let registry = Registry::start(Options::default()).unwrap();
    let blob = format!("/v2/a/blobs/{}", registry.put_blob("a", b"0123456789"));
    let whole = curl(&registry, &[], &blob);
    assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.ends_with("\r\n\r\n0123456789"), "{whole}");
    let part = curl(&registry, &["-r", "3-5"], &blob);
    assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n\r\n345"), "{part}");
    assert!(part.contains("Content-Range: bytes 3-5/10\r\n"), "{part}");
    assert!(curl(&registry, &["-r", "10-"], &blob).starts_with("HTTP/1.1 416"));
    let head = curl(&registry, &["-I"], &blob);
    assert!(head.contains("Content-Length: 10\r\n"), "{head}");
    // Another repository does not see it until it is mounted there.
    let other = blob.replace("/a/", "/b/");
    assert!(curl(&registry, &[], &other).starts_with("HTTP/1.1 404"));
    let mount = format!("/v2/b/blobs/uploads/?from=a&mount={}", digest(b"0123456789"));
    assert!(curl(&registry, &["-X", "POST"], &mount).starts_with("HTTP/1.1 201"));
    assert!(curl(&registry, &[], &other).starts_with("HTTP/1.1 200"));
    let lines = registry.journal().lines();
    assert_eq!(lines[0], format!("GET {blob} 200"));
    assert_eq!(registry.journal().lines_of("HEAD"), [format!("HEAD {blob} 200")]);
}

/// The location in an answer.
#[track_caller]
fn location(answer: &str) -> String {
    let line = answer.lines().find_map(|l| l.strip_prefix("Location: "));
    line.unwrap_or_else(|| panic!("{answer}")).trim().to_owned()
}

#[test]
fn an_upload_goes_on_at_its_newest_location_and_right_offset_only() {
    if !available(&["curl"]) {
        return;
    }
    let registry = Registry::start(Options { deletes: false, ..Options::default() }).unwrap();
    let first = location(&curl(&registry, &["-X", "POST"], "/v2/a/blobs/uploads/"));
    let patch = |range: &'static str, data: &'static str| {
        ["-X", "PATCH", "-H", range, "-H", "Content-Type: application/octet-stream", "--data", data]
    };
    let answer = curl(&registry, &patch("Content-Range: 0-4", "hello"), &first);
    assert!(answer.starts_with("HTTP/1.1 202") && answer.contains("Range: 0-4\r\n"), "{answer}");
    let second = location(&answer);
    let stale = curl(&registry, &patch("Content-Range: 5-6", "!!"), &first);
    assert!(stale.starts_with("HTTP/1.1 416"), "{stale}");
    let misplaced = curl(&registry, &patch("Content-Range: 7-8", "!!"), &second);
    assert!(misplaced.starts_with("HTTP/1.1 416"), "{misplaced}");
    let status = curl(&registry, &[], &first);
    assert!(status.starts_with("HTTP/1.1 204") && status.contains("Range: 0-4\r\n"), "{status}");
    assert_eq!(registry.open_uploads(), 1);
    let put = |text: &[u8]| format!("{second}&digest={}", digest(text));
    let done = curl(&registry, &["-X", "PUT", "--data", " you"], &put(b"hello you"));
    assert!(done.starts_with("HTTP/1.1 201"), "{done}");
    assert_eq!(registry.blob(&digest(b"hello you")).unwrap(), b"hello you");
    assert_eq!(registry.open_uploads(), 0);
    let gone = curl(&registry, &["-X", "PUT"], &put(b"hello"));
    assert!(gone.starts_with("HTTP/1.1 404"), "{gone}");
    let refused = curl(&registry, &["-X", "DELETE"], "/v2/a/manifests/v1");
    assert!(refused.starts_with("HTTP/1.1 405"), "{refused}");
}

#[test]
fn a_manifest_names_only_what_is_there() {
    if !available(&["curl"]) {
        return;
    }
    let registry = Registry::start(Options::default()).unwrap();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let config =
        json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"{}"), "size": 2});
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": []}).to_string();
    let header = format!("Content-Type: {kind}");
    let put = ["-X", "PUT", "-H", &header, "--data", &manifest];
    let answer = curl(&registry, &put, "/v2/a/manifests/v1");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("MANIFEST_BLOB_UNKNOWN"), "{answer}");
    assert!(registry.tags().is_empty());
    registry.put_blob("a", b"{}");
    for tag in ["v1", "v2", "v3"] {
        let answer = curl(&registry, &put, &format!("/v2/a/manifests/{tag}"));
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
    registry.assert_whole();
    let page = curl(&registry, &[], "/v2/a/tags/list?n=2");
    assert!(page.ends_with(r#"{"name":"a","tags":["v1","v2"]}"#), "{page}");
    assert!(page.contains("Link: </v2/a/tags/list?n=2&last=v2>; rel=\"next\"\r\n"), "{page}");
    let last = curl(&registry, &[], "/v2/a/tags/list?n=2&last=v2");
    assert!(last.ends_with(r#"{"name":"a","tags":["v3"]}"#) && !last.contains("Link"), "{last}");
    assert!(curl(&registry, &["-X", "DELETE"], "/v2/a/manifests/v2").starts_with("HTTP/1.1 202"));
    assert_eq!(registry.tags().len(), 2);
    let by_digest = format!("/v2/a/manifests/{}", digest(manifest.as_bytes()));
    assert!(curl(&registry, &["-H", "Accept: text/plain"], &by_digest).starts_with("HTTP/1.1 404"));
    assert!(curl(&registry, &["-X", "DELETE"], &by_digest).starts_with("HTTP/1.1 202"));
    assert!(registry.tags().is_empty());
}

#[test]
fn referrers_are_found_by_their_subject() {
    if !available(&["curl"]) {
        return;
    }
    let registry = Registry::start(Options::default()).unwrap();
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let subject = registry.put_manifest("a", Some("v1"), kind, b"{}");
    let own = json!({"mediaType": kind, "artifactType": "text/sbom", "subject": {"digest": subject}});
    let own = registry.put_manifest("a", None, kind, own.to_string().as_bytes());
    let answer = curl(&registry, &[], &format!("/v2/a/referrers/{subject}?artifactType=text/sbom"));
    assert!(answer.contains(&own) && answer.contains("OCI-Filters-Applied: artifactType"), "{answer}");
    let answer = curl(&registry, &[], &format!("/v2/a/referrers/{subject}?artifactType=other"));
    assert!(!answer.contains(&own), "{answer}");
    let old = Registry::start(Options { referrers: false, ..Options::default() }).unwrap();
    assert!(curl(&old, &[], &format!("/v2/a/referrers/{subject}")).starts_with("HTTP/1.1 404"));
}

#[test]
fn what_a_layout_holds_can_be_pulled() {
    if !available(&["skopeo"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    image(dir.path());
    let registry = Registry::start(Options::default()).unwrap();
    let digest = registry.put_layout("base", "v1", &dir.path().join("image")).unwrap();
    registry.assert_whole();
    let name = format!("docker://{}/base:v1", registry.host());
    let inspected = run("skopeo", &["inspect", "--tls-verify=false", &name], dir.path());
    assert!(inspected.contains(&digest), "{inspected}");
}

#[test]
fn large_layers_come_and_go_without_being_kept() {
    if !available(&["curl"]) {
        return;
    }
    let length = 300_000_000;
    let big = BigLayer::new("data/big", length, Fill::Random(3)).unwrap();
    let (size, digest) = (big.size(), big.digest().unwrap());
    let registry = Registry::start(Options { storage: Storage::Discard, ..Options::default() }).unwrap();
    registry.put_image("big", "v1", &Image::new(vec![Layer::Big(big)])).unwrap();
    registry.assert_whole();
    // From one repository to the other as a stream: neither curl nor the registry has it as a whole.
    let from = format!("http://{}/v2/big/blobs/{digest}", registry.host());
    let to = location(&curl(&registry, &["-X", "POST"], "/v2/copy/blobs/uploads/"));
    let to = format!("http://{}{to}&digest={digest}", registry.host());
    let pipe = format!("curl -sS '{from}' | curl -sS -f -T - '{to}'");
    run("sh", &["-c", &pipe], Path::new("/"));
    assert_eq!(registry.blobs("copy").concat(), digest);
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim_end_matches(" kB");
    assert!(peak.trim().parse::<u64>().unwrap() * 1024 < length / 2, "{peak} kB");
    let head = curl(&registry, &["-I"], &format!("/v2/copy/blobs/{digest}"));
    assert!(head.contains(&format!("Content-Length: {size}\r\n")), "{head}");
}

#[test]
fn skopeo_finds_its_platform_in_an_index() {
    if !available(&["skopeo"]) {
        return;
    }
    let registry = Registry::start(Options::default()).unwrap();
    let images = ["amd64", "s390x"].map(|architecture| {
        let motd = ("etc/motd".to_owned(), format!("hello {architecture}\n"));
        let platform = ("linux".to_owned(), architecture.to_owned());
        Image { platform, ..Image::new(vec![Layer::Files(vec![motd])]) }
    });
    registry.put_index("base", "v1", &images).unwrap();
    registry.assert_whole();
    let name = format!("docker://{}/base:v1", registry.host());
    let inspect = ["--override-arch", "s390x", "inspect", "--config", "--tls-verify=false", &name];
    let config: Value = serde_json::from_str(&run("skopeo", &inspect, Path::new("/"))).unwrap();
    assert_eq!(config["architecture"], "s390x");
}
