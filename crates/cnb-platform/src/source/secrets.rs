//! Files that look like secrets: by name, and where a name says too little, by what is in them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many bytes of a file are looked at: keys and tokens stand at the front of small files.
pub(super) const LOOK: usize = 64 << 10;

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Nothing.
    None,
    /// Enough.
    Certain,
    /// The contents decide.
    Look(Sign),
}

/// What gives a file away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// A private key in PEM form.
    PrivateKey,
    /// A key of a service account in JSON form.
    ServiceAccount,
    /// An npm token or password that stands there itself, not as the name of a variable.
    NpmToken,
    /// The word `password`.
    Password,
    /// A login to an image registry.
    RegistryLogin,
}

/// Returns what the path says, relative to the source.
pub(super) fn suspect(path: &Path) -> Suspicion {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let lower = name.to_ascii_lowercase();
    let within = |dir: &str| path.parent().and_then(Path::file_name) == Some(OsStr::new(dir));
    let name = lower.as_slice();
    if name == b".env" || (name.starts_with(b".env.") && !is_template(name)) {
        return Suspicion::Certain;
    }
    match name {
        b"id_rsa" | b"id_dsa" | b"id_ecdsa" | b"id_ed25519" | b".git-credentials" | b".pgpass"
        | b"master.key" => Suspicion::Certain,
        b"credentials" if within(".aws") => Suspicion::Certain,
        b"config.json" if within(".docker") => Suspicion::Look(Sign::RegistryLogin),
        b".npmrc" => Suspicion::Look(Sign::NpmToken),
        b".netrc" | b"_netrc" | b".pypirc" => Suspicion::Look(Sign::Password),
        _ if name.ends_with(b".p12") || name.ends_with(b".pfx") => Suspicion::Certain,
        _ if [b".pem".as_slice(), b".key", b".p8"].iter().any(|e| name.ends_with(e)) => {
            Suspicion::Look(Sign::PrivateKey)
        }
        _ if name.ends_with(b".json")
            && [b"credential".as_slice(), b"service", b"account", b"secret", b"key"]
                .iter()
                .any(|word| contains(name, word)) =>
        {
            Suspicion::Look(Sign::ServiceAccount)
        }
        _ => Suspicion::None,
    }
}

/// Returns whether the first bytes of a file show the sign.
pub(super) fn shows(sign: Sign, head: &[u8]) -> bool {
    match sign {
        Sign::PrivateKey => contains(head, b"PRIVATE KEY-----"),
        Sign::ServiceAccount => contains(head, b"PRIVATE KEY-----") || contains(head, b"\"client_secret\""),
        Sign::NpmToken => head.split(|b| *b == b'\n').any(is_literal_npm_secret),
        Sign::Password => contains(&head.to_ascii_lowercase(), b"password"),
        Sign::RegistryLogin => contains(head, b"\"auth\"") || contains(head, b"\"identitytoken\""),
    }
}

/// Names such as `.env.example` are written to be shared.
fn is_template(name: &[u8]) -> bool {
    name.split(|b| *b == b'.').any(|part| {
        matches!(part, b"example" | b"sample" | b"template" | b"dist" | b"defaults" | b"tpl" | b"vault")
    })
}

fn is_literal_npm_secret(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    if line.starts_with(b"#") || line.starts_with(b";") {
        return false;
    }
    let Some(equals) = line.iter().position(|b| *b == b'=') else { return false };
    let (key, value) = (line[..equals].trim_ascii(), line[equals + 1..].trim_ascii());
    let secret = [b"_authtoken".as_slice(), b"_auth", b"_password"]
        .iter()
        .any(|end| key.to_ascii_lowercase().ends_with(end));
    secret && !value.is_empty() && !contains(value, b"${")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, contents: &str, expected: bool) {
        let found = match suspect(Path::new(path)) {
            Suspicion::None => false,
            Suspicion::Certain => true,
            Suspicion::Look(sign) => shows(sign, contents.as_bytes()),
        };
        assert_eq!(found, expected, "{path}: {contents}");
    }

    #[test]
    fn environment_files_are_secrets_and_their_templates_are_not() {
        check(".env", "A=1", true);
        check("sub/.env.production", "A=1", true);
        check(".env.example", "A=1", false);
        check(".env.local.sample", "A=1", false);
        check(".environment", "A=1", false);
    }

    #[test]
    fn keys_are_told_from_certificates_by_their_contents() {
        check("id_ed25519", "", true);
        check("id_ed25519.pub", "", false);
        check("tls/server.pem", "-----BEGIN RSA PRIVATE KEY-----", true);
        check("tls/ca.pem", "-----BEGIN CERTIFICATE-----", false);
        check("key.key", "-----BEGIN PRIVATE KEY-----", true);
        check("store.p12", "", true);
    }

    #[test]
    fn package_manager_files_are_secrets_when_the_token_stands_in_them() {
        check(".npmrc", "//registry.example/:_authToken=abc", true);
        check(".npmrc", "//registry.example/:_authToken=${NPM_TOKEN}", false);
        check(".npmrc", "registry=https://registry.example/", false);
        check(".netrc", "machine a login b password c", true);
        check(".pypirc", "[a]\npassword = x", true);
    }

    #[test]
    fn service_account_keys_are_told_from_other_json_by_their_contents() {
        check("credentials.json", r#"{"private_key": "-----BEGIN PRIVATE KEY-----"}"#, true);
        check("services.json", r#"{"a": 1}"#, false);
        check("package.json", "-----BEGIN PRIVATE KEY-----", false);
        check(".docker/config.json", r#"{"auths": {"a": {"auth": "x"}}}"#, true);
        check("config.json", r#"{"auth": "x"}"#, false);
    }
}
