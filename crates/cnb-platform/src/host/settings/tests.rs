//! What the build gets of a home full of settings and secrets.

use super::*;

struct World {
    dir: tempfile::TempDir,
    env: BTreeMap<OsString, OsString>,
}

impl World {
    fn new(env: &[(&str, &str)], files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = dir.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, contents).unwrap();
        }
        let env = env.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Self { dir, env }
    }

    fn collect(&self) -> Settings {
        let home = HostPath::absolute(self.dir.path().join("home"));
        let settings =
            collect(&SettingsConfig { env: &self.env, home: &home, root: &self.dir.path().join("root") });
        // The rule for all ecosystems: whatever the input, the word that stands for a secret stays outside.
        for (name, value) in &settings.env {
            assert!(!value.contains("SECRET"), "{name}={value}");
        }
        for file in &settings.files {
            let text = String::from_utf8_lossy(&file.contents);
            assert!(!text.contains("SECRET"), "{}: {text}", file.guest);
        }
        settings
    }

    fn file(&self, guest: &str) -> String {
        let settings = self.collect();
        let file = settings.files.iter().find(|f| f.guest == GuestPath::new(guest));
        String::from_utf8(file.map(|f| f.contents.clone()).unwrap_or_default()).unwrap()
    }
}

#[track_caller]
fn check_env(given: &[(&str, &str)], expected: &[(&str, &str)]) {
    let settings = World::new(given, &[]).collect();
    let found: Vec<(&str, &str)> = settings.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, expected);
}

#[track_caller]
fn check_file(given: (&str, &str), guest: &str, expected: &str) {
    assert_eq!(World::new(&[], &[given]).file(guest), expected);
}

#[test]
fn a_home_without_settings_gives_nothing() {
    assert_eq!(World::new(&[("PATH", "/bin"), ("API_KEY", "SECRET")], &[]).collect(), Settings::default());
}

#[test]
fn proxies_go_in_in_both_spellings_and_without_login() {
    check_env(
        &[
            ("https_proxy", "http://user:SECRET@proxy.example:3128"),
            ("HTTP_PROXY", "http://proxy.example"),
            ("NO_PROXY", "localhost,.example"),
            ("ALL_PROXY", ""),
        ],
        &[
            ("HTTP_PROXY", "http://proxy.example"),
            ("NO_PROXY", "localhost,.example"),
            ("https_proxy", "http://proxy.example:3128"),
        ],
    );
    let settings = World::new(&[("HTTPS_PROXY", "http://u:SECRET@proxy.example")], &[]).collect();
    assert_eq!(settings.left_out, [LeftOut::Login { setting: "HTTPS_PROXY".into() }]);
}

const ONE: &str = "-----BEGIN CERTIFICATE-----\nONE\n-----END CERTIFICATE-----";
const TWO: &str = "-----BEGIN CERTIFICATE-----\nTWO\n-----END CERTIFICATE-----";

#[test]
fn the_bundle_is_found_in_the_usual_places_and_every_tool_is_told() {
    let world = World::new(&[], &[("root/etc/pki/tls/certs/ca-bundle.crt", &format!("# x\n{ONE}\n"))]);
    assert_eq!(world.file(certificates::GUEST), format!("{ONE}\n"));
    let settings = world.collect();
    for name in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "CARGO_HTTP_CAINFO", "GIT_SSL_CAINFO"] {
        assert_eq!(settings.env[name], certificates::GUEST);
    }
}

#[test]
fn what_single_tools_trust_is_added_once_and_keys_stay_outside() {
    let key = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----";
    let mut world =
        World::new(&[], &[("root/etc/ssl/cert.pem", ONE), ("corp.pem", &format!("{key}\n{ONE}\n{TWO}"))]);
    let corp = world.dir.path().join("corp.pem");
    world.env.insert("NODE_EXTRA_CA_CERTS".into(), corp.into());
    assert_eq!(world.file(certificates::GUEST), format!("{ONE}\n{TWO}\n"));
}

#[test]
fn npm_registries_go_in_and_tokens_do_not() {
    let npmrc = "registry = https://u:SECRET@registry.example/npm/\n\
                 @corp:registry=\"https://registry.example/corp/\"\n; c\nstrict-ssl=false\n\
                 //registry.example/:_authToken=SECRET\n_auth=SECRET\n//registry.example/:certfile=SECRET\n\
                 always-auth=true\n[x]\nemail=SECRET";
    check_file(
        ("home/.npmrc", npmrc),
        "/home/cnb/.npmrc",
        "@corp:registry=https://registry.example/corp/\nregistry=https://registry.example/npm/\nstrict-ssl=false\n",
    );
    check_env(
        &[("npm_config_registry", "https://SECRET@registry.example/"), ("NPM_TOKEN", "SECRET")],
        &[("npm_config_registry", "https://registry.example/")],
    );
}

#[test]
fn npm_reads_variables_another_file_and_the_machines_settings() {
    let mut world = World::new(
        &[("PLACE", "registry.example")],
        &[
            ("mine", "registry=https://${PLACE}/${UNSET}"),
            ("root/etc/npmrc", "registry=https://example.com\nfetch-retries=5"),
            ("home/.npmrc", "registry=https://example.com/unread"),
        ],
    );
    let mine = world.dir.path().join("mine");
    world.env.insert("NPM_CONFIG_USERCONFIG".into(), mine.into());
    assert_eq!(
        world.file("/home/cnb/.npmrc"),
        "fetch-retries=5\nregistry=https://registry.example/${UNSET}\n"
    );
}

#[test]
fn pip_indexes_go_in_and_folders_and_logins_do_not() {
    check_env(
        &[
            ("PIP_INDEX_URL", "https://u:SECRET@registry.example/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://a.example https://b:SECRET@b.example"),
            ("PIP_FIND_LINKS", "/srv/wheels https://c.example/w"),
            ("UV_INDEX", "corp=https://u:SECRET@d.example/simple"),
            ("PIP_TRUSTED_HOST", "registry.example"),
            ("PIP_PASSWORD", "SECRET"),
        ],
        &[
            ("PIP_EXTRA_INDEX_URL", "https://a.example https://b.example"),
            ("PIP_FIND_LINKS", "https://c.example/w"),
            ("PIP_INDEX_URL", "https://registry.example/simple"),
            ("PIP_TRUSTED_HOST", "registry.example"),
            ("UV_INDEX", "corp=https://d.example/simple"),
        ],
    );
    check_env(&[("PIP_FIND_LINKS", "/srv/wheels")], &[]);
    check_file(
        (
            "home/.config/pip/pip.conf",
            "[global]\nindex_url = https://u:SECRET@registry.example/simple\nextra-index-url =\n  https://a.example\n  \
             https://b.example\ncache-dir = /SECRET\n[search]\nindex = SECRET\n",
        ),
        "/home/cnb/.config/pip/pip.conf",
        "[global]\nextra-index-url = https://a.example\n    https://b.example\n\
         index-url = https://registry.example/simple\n",
    );
}

#[test]
fn the_later_pip_file_wins() {
    let world = World::new(
        &[],
        &[
            ("root/etc/pip.conf", "[global]\nindex-url = https://example.com\ntimeout = 5"),
            ("home/.pip/pip.conf", "[global]\nindex-url = https://registry.example"),
        ],
    );
    let expected = "[global]\nindex-url = https://registry.example\ntimeout = 5\n";
    assert_eq!(world.file("/home/cnb/.config/pip/pip.conf"), expected);
}

#[test]
fn go_proxies_come_from_the_environment_or_gos_file() {
    check_env(
        &[
            ("GOPROXY", "https://u:SECRET@goproxy.example|file:///srv/mod,direct"),
            ("GOPRIVATE", "*.corp.example"),
            ("GOAUTH", "SECRET"),
            ("GOFLAGS", "-mod=mod"),
        ],
        &[("GOPRIVATE", "*.corp.example"), ("GOPROXY", "https://goproxy.example|direct")],
    );
    let file = (
        "home/.config/go/env",
        "GOPROXY=https://goproxy.example,off\nGOSUMDB=off\nGOFLAGS=-v\nGOAUTH=SECRET",
    );
    let world = World::new(&[("GOSUMDB", "sum.example+key https://u:SECRET@sum.example")], &[file]);
    let env = world.collect().env;
    assert_eq!(env["GOPROXY"], "https://goproxy.example,off");
    assert_eq!(env["GOSUMDB"], "sum.example+key https://sum.example");
    assert_eq!(env.len(), 2);
    assert_eq!(World::new(&[("GOENV", "off")], &[file]).collect().env.len(), 0);
}

#[test]
fn cargo_sources_go_in_and_tokens_and_folders_do_not() {
    let config = "[source.a]\nreplace-with = 'mirror'\n[source.mirror]\n\
                  registry = 'sparse+https://u:SECRET@registry.example/index/'\n\
                  [source.b]\nreplace-with = 'vendored'\n[source.vendored]\ndirectory = '/SECRET'\n\
                  [registries.corp]\nindex = 'https://registry.example/git'\ntoken = 'SECRET'\n\
                  [http]\nproxy = 'u:SECRET@proxy.example:1'\ncainfo = '/SECRET'\ntimeout = 9\n\
                  [net]\ngit-fetch-with-cli = true\noffline = true\n[build]\nrustflags = ['SECRET']\n\
                  [registry]\ndefault = 'corp'\ntoken = 'SECRET'";
    let world = World::new(&[], &[("home/.cargo/config.toml", config)]);
    let kept: toml::Table = toml::from_str(&world.file("/home/cnb/.cargo/config.toml")).unwrap();
    let expected: toml::Table = toml::from_str(
        "[source.a]\nreplace-with = 'mirror'\n[source.mirror]\nregistry = 'sparse+https://registry.example/index/'\n\
         [registries.corp]\nindex = 'https://registry.example/git'\n[http]\nproxy = 'proxy.example:1'\ntimeout = 9\n\
         [net]\ngit-fetch-with-cli = true\n[registry]\ndefault = 'corp'",
    )
    .unwrap();
    assert_eq!(kept, expected);
    check_env(
        &[
            ("CARGO_REGISTRIES_X_INDEX", "https://SECRET@registry.example"),
            ("CARGO_REGISTRIES_X_TOKEN", "SECRET"),
        ],
        &[("CARGO_REGISTRIES_X_INDEX", "https://registry.example")],
    );
}

#[test]
fn maven_mirrors_and_proxies_go_in_and_servers_do_not() {
    let settings = "<settings><!-- c --><servers><server><id>m</id><password>SECRET</password></server></servers>\n\
                    <mirrors><mirror><id>m</id><mirrorOf>*</mirrorOf><url>https://u:SECRET@maven.example/</url></mirror>\n\
                    <mirror><id>f</id><url>file:///SECRET</url></mirror></mirrors>\n\
                    <proxies><proxy><id>p</id><host>proxy.example</host><port>1</port><username>SECRET</username>\
                    <password>SECRET</password></proxy></proxies></settings>";
    check_file(
        ("home/.m2/settings.xml", settings),
        "/home/cnb/.m2/settings.xml",
        "<settings>\n  <mirrors>\n    <mirror>\n      <id>m</id>\n      <url>https://maven.example/</url>\n      \
         <mirrorOf>*</mirrorOf>\n    </mirror>\n  </mirrors>\n  <proxies>\n    <proxy>\n      <id>p</id>\n      \
         <host>proxy.example</host>\n      <port>1</port>\n    </proxy>\n  </proxies>\n</settings>\n",
    );
}

#[test]
fn files_that_cannot_be_understood_are_named() {
    let world = World::new(&[], &[("home/.cargo/config.toml", "a = = b"), ("home/.m2/settings.xml", "<a>")]);
    let said: Vec<String> = world.collect().left_out.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 2);
    assert!(said[0].contains("/.cargo/config.toml` stays out of the build: it is not TOML"), "{said:?}");
    assert!(said[1].ends_with("/.m2/settings.xml` stays out of the build: `<a>` does not end"), "{said:?}");
}
