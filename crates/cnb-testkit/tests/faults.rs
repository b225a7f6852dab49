//! Faults as other programs see them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cnb_testkit::digest;
use cnb_testkit::http::Break;
use cnb_testkit::peers::{available, run};
use cnb_testkit::registry::{Auth, Fault, Nth, Options, Registry, RetryAfter, What};
use cnb_testkit::tokens::TokenPolicy;

const BLOBS: &str = "GET /v2/*/blobs/*";

/// A registry with one blob of 1000 bytes, and its path.
fn with_blob(options: Options) -> (Registry, String) {
    let registry = Registry::start(options).expect("a registry");
    let blob = registry.put_blob("a", &[b'x'; 1000]);
    (registry, format!("/v2/a/blobs/{blob}"))
}

/// Runs curl; returns its exit code and what it printed, heads included.
fn try_curl(host: &str, args: &[&str], path: &str) -> (i32, String) {
    let output = Command::new("curl")
        .args(["-sS", "-i"])
        .args(args)
        .arg(format!("http://{host}{path}"))
        .stdin(Stdio::null())
        .output()
        .expect("curl");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks for the blob while a fault is injected, then once more.
#[track_caller]
fn check(what: What, args: &[&str], code: i32, text: &str) {
    if !available(&["curl"]) {
        return;
    }
    let (registry, blob) = with_blob(Options::default());
    registry.inject(Fault::new(BLOBS, Nth::First(1), what));
    let (actual, out) = try_curl(&registry.host(), args, &blob);
    assert_eq!(actual, code, "{out}");
    assert!(out.contains(text), "no {text:?} in {out}");
    assert_eq!(registry.struck(), 1);
    let (code, out) = try_curl(&registry.host(), &[], &blob);
    assert!(code == 0 && out.ends_with(&"x".repeat(1000)), "{out}");
}

#[test]
fn errors_say_when_to_come_back() {
    check(What::status(503), &[], 0, "HTTP/1.1 503 Service Unavailable\r\n");
    check(What::rate_limit(RetryAfter::Seconds(7)), &[], 0, "\r\nRetry-After: 7\r\n");
    check(What::rate_limit(RetryAfter::Date(7)), &[], 0, " GMT\r\n");
}

#[test]
fn answers_break_off_where_they_should() {
    // 56: the connection was reset; 18: less came than was said; 52: nothing came; 28: patience ended.
    check(What::ResponseBreaks { after: 10, how: Break::Reset }, &[], 56, "\r\n\r\nxxxxxxxxxx");
    check(What::ResponseBreaks { after: 10, how: Break::Close }, &[], 18, "\r\n\r\nxxxxxxxxxx");
    check(What::ResponseBreaks { after: 10, how: Break::Stall }, &["-m", "0.3"], 28, "\r\n\r\nxxxxxxxxxx");
    check(What::CloseBeforeAnswer, &[], 52, "");
    check(What::RequestBreaks { after: 0, how: Break::Reset }, &[], 56, "");
}

#[test]
fn answers_are_spoilt_in_the_way_that_was_asked_for() {
    check(What::WrongBytes, &[], 0, "\r\n\r\nyxxx");
    check(What::WrongDigestHeader, &[], 0, &digest(b"something else"));
    check(What::TruncatedJson, &[], 0, "Content-Length: 500\r\n");
    check(What::NotJson, &[], 0, "<html>");
    check(What::HugeBody(100_000), &[], 0, &" ".repeat(99_999));
    check(What::NoRange, &["-r", "5-6"], 0, "HTTP/1.1 200 OK\r\n");
    check(
        What::BadRangeHeader("bytes 7-8/9".to_owned()),
        &["-r", "5-6"],
        0,
        "Content-Range: bytes 7-8/9\r\n",
    );
    check(What::ConnectionClose, &[], 0, "Connection: close\r\n");
    check(What::SilentClose, &[], 0, "HTTP/1.1 200 OK\r\n");
}

#[test]
fn a_slow_answer_takes_its_time() {
    let start = Instant::now();
    check(What::SlowLoris { bytes: 100, every: Duration::from_millis(5) }, &[], 0, "HTTP/1.1 200 OK\r\n");
    assert!(start.elapsed() > Duration::from_millis(50));
}

#[test]
fn clients_are_sent_round_in_circles_and_to_other_hosts() {
    // 47: too many redirects.
    if !available(&["curl"]) {
        return;
    }
    let (registry, blob) = with_blob(Options::default());
    registry.inject(Fault::new(BLOBS, Nth::All, What::RedirectLoop));
    assert_eq!(try_curl(&registry.host(), &["-L", "--max-redirs", "3"], &blob).0, 47);
    registry.heal();
    let other = registry.also_on("127.0.0.2".parse().unwrap()).unwrap();
    registry.inject(Fault::new(BLOBS, Nth::All, What::RedirectTo(format!("http://{other}{{target}}"))));
    registry.journal().forget();
    let (code, out) = try_curl(&registry.host(), &["-L", "-u", "user:secret"], &blob);
    assert!(code == 0 && out.ends_with("xxx"), "{out}");
    let seen = registry.journal().seen();
    assert_eq!(seen.iter().map(|s| s.status.unwrap()).collect::<Vec<_>>(), [307, 200]);
    assert_eq!(seen[1].request.header("host"), Some(other.as_str()));
    assert_eq!(seen[1].request.header("authorization"), None);
}

/// The location in an answer.
#[track_caller]
fn location(answer: &str) -> String {
    let line = answer.lines().find_map(|l| l.strip_prefix("Location: "));
    line.unwrap_or_else(|| panic!("{answer}")).trim().to_owned()
}

#[test]
fn an_upload_keeps_what_came_before_the_connection_broke() {
    if !available(&["curl"]) {
        return;
    }
    let (registry, _) = with_blob(Options::default());
    let host = registry.host();
    registry.inject(Fault::new("PATCH *", Nth::Only(1), What::RequestBreaks { after: 4, how: Break::Reset }));
    registry.inject(Fault::new("PATCH *", Nth::Only(2), What::LostUpload));
    let upload = location(&try_curl(&host, &["-X", "POST"], "/v2/a/blobs/uploads/").1);
    assert_ne!(try_curl(&host, &["-X", "PATCH", "--data", "123456"], &upload).0, 0);
    let status = try_curl(&host, &[], &upload).1;
    assert!(status.contains("Range: 0-3\r\n"), "{status}");
    let lost = try_curl(&host, &["-X", "PATCH", "--data", "56"], &location(&status)).1;
    assert!(lost.starts_with("HTTP/1.1 404"), "{lost}");
    assert!(try_curl(&host, &[], &upload).1.starts_with("HTTP/1.1 404"));
    assert_eq!(registry.journal().lines_of("PATCH").len(), 2);
}

#[test]
fn a_mount_is_refused_by_opening_an_upload() {
    if !available(&["curl"]) {
        return;
    }
    let (registry, blob) = with_blob(Options::default());
    registry.inject(Fault::new("POST /v2/b/*?*mount=*", Nth::All, What::RefuseMount));
    let mount = format!("/v2/b/blobs/uploads/?from=a&mount={}", blob.rsplit('/').next().unwrap());
    let answer = try_curl(&registry.host(), &["-X", "POST"], &mount).1;
    assert!(answer.starts_with("HTTP/1.1 202") && answer.contains("Location: "), "{answer}");
    assert_eq!(registry.open_uploads(), 1);
}

#[test]
fn tokens_expire_by_time_and_by_fault() {
    if !available(&["curl"]) {
        return;
    }
    let policy = TokenPolicy::new("user", "secret");
    let (registry, blob) = with_blob(Options { auth: Auth::Bearer(policy), ..Options::default() });
    let token = || {
        let url = format!("http://{}/token?service=testkit&scope=repository:a:pull", registry.host());
        let answer = run("curl", &["-sS", "-u", "user:secret", &url], Path::new("/"));
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        format!("Authorization: Bearer {}", answer["token"].as_str().unwrap())
    };
    let (host, first) = (registry.host(), token());
    let get = |token: &str| try_curl(&host, &["-H", token], &blob).1;
    assert!(get(&first).starts_with("HTTP/1.1 200"));
    registry.inject(Fault::new(BLOBS, Nth::Only(1), What::ExpiredToken));
    let expired = get(&first);
    assert!(expired.starts_with("HTTP/1.1 401") && expired.contains("error=\"invalid_token\""), "{expired}");
    assert!(get(&first).starts_with("HTTP/1.1 401"));
    assert!(get(&token()).starts_with("HTTP/1.1 200"));
    let tokens = registry.tokens().unwrap();
    tokens.change(|policy| policy.age = Duration::from_secs(3600));
    assert!(get(&token()).starts_with("HTTP/1.1 401"));
    assert_eq!(tokens.asked().len(), 3);
    assert_eq!(tokens.asked()[0].scopes, ["repository:a:pull"]);
    let wrong = try_curl(&host, &["-u", "user:wrong"], "/token?service=testkit").1;
    assert!(wrong.starts_with("HTTP/1.1 401"), "{wrong}");
}

#[test]
fn an_identity_token_is_a_password() {
    if !available(&["curl"]) {
        return;
    }
    let mut policy = TokenPolicy::new("user", "secret");
    policy.identity_token = Some("identity".to_owned());
    policy.granted = vec!["pull".to_owned()];
    policy.fields = vec!["access_token"];
    let (registry, _) = with_blob(Options { auth: Auth::Bearer(policy), ..Options::default() });
    let post = |form: &str| try_curl(&registry.host(), &["--data", form], "/token").1;
    let scope = "service=testkit&scope=repository%3Aa%3Apull,push+repository:b:pull";
    let answer =
        post(&format!("grant_type=password&username=user&password=secret&access_type=offline&{scope}"));
    assert!(answer.contains(r#""refresh_token":"identity""#) && !answer.contains(r#""token""#), "{answer}");
    let answer = post(&format!("grant_type=refresh_token&refresh_token=identity&{scope}"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(post("grant_type=refresh_token&refresh_token=wrong").starts_with("HTTP/1.1 401"));
    let asked = registry.tokens().unwrap().asked();
    assert_eq!(asked[1].grant_type, "refresh_token");
    assert_eq!(asked[1].scopes, ["repository:a:pull,push", "repository:b:pull"]);
    assert_eq!([asked[0].granted, asked[1].granted, asked[2].granted], [true, true, false]);
}
