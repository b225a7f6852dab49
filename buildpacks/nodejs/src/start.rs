//! What an image starts where no script says so: a file by its usual name, or the server of a built front-end.

use std::path::Path;

use cnb_buildpack::Process;

use crate::package::Package;
use crate::range::Version;
use crate::script::Script;

/// Files that frameworks build as their server.
const BUILT_SERVERS: &[&str] =
    &[".output/server/index.mjs", "dist/analog/server/index.mjs", "dist/server/entry.mjs"];
/// Files that are started where nothing says what to start.
const FILES: &[&str] = &[
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "app.mjs",
    "server.cjs",
    "index.cjs",
    "src/server.js",
    "src/index.js",
    "src/app.js",
    "src/main.js",
    "bin/www",
];
/// Files that compilers make of the ones above.
const COMPILED: &[&str] = &[
    "dist/main.js",
    "dist/server.js",
    "dist/index.js",
    "dist/app.js",
    "dist/src/main.js",
    "dist/src/index.js",
    "build/server.js",
    "build/index.js",
    "build/app.js",
];
/// Files that are started as they are written, by a runtime that reads TypeScript.
const TYPESCRIPT: &[&str] = &[
    "src/index.ts",
    "index.ts",
    "src/server.ts",
    "server.ts",
    "src/main.ts",
    "main.ts",
    "src/app.ts",
    "app.ts",
    "index.tsx",
    "src/index.tsx",
];
/// Folders that build tools leave a front-end in.
const SITES: &[&str] = &[
    "dist",
    "build",
    "out",
    "_site",
    ".output/public",
    "build/client",
    "dist/client",
    "dist/spa",
    "www",
    "build/default",
    "__sapper__/export",
    ".vitepress/dist",
    "docs/.vitepress/dist",
    ".vuepress/dist",
    "docs/.vuepress/dist",
    "src/.vuepress/dist",
    "storybook-static",
    "public",
];
/// Packages that make an app a server.
const SERVERS: &[&str] = &[
    "express",
    "fastify",
    "koa",
    "@hapi/hapi",
    "restify",
    "polka",
    "hono",
    "@hono/node-server",
    "h3",
    "@nestjs/core",
    "next",
    "socket.io",
    "ws",
];
/// The first versions of Node.js that run TypeScript as it is.
fn runs_typescript(node: Version) -> bool {
    (node.0 == 22 && node >= Version(22, 18, 0)) || node >= Version(23, 6, 0)
}

/// Starts a file of TypeScript that nothing was made of: by Bun where that is the app's, by a package that the app
/// depends on, or by a Node.js that reads it.
pub fn typescript(package: &Package, app: &Path, by_bun: bool, node: Version) -> Option<Script> {
    let named = ["module", "main"].into_iter().filter_map(|field| package.text(field));
    let mut files = named.filter(|f| is_typescript(f)).chain(TYPESCRIPT.iter().copied());
    let file = files.find(|f| app.join(f).is_file())?;
    let runtimes =
        [("tsx", "tsx"), ("ts-node", "ts-node"), ("@swc-node/register", "node -r @swc-node/register")];
    let of_app = || runtimes.iter().find(|(name, _)| package.depends_on(name)).map(|(_, run)| *run);
    let of_node = || Some("node").filter(|_| runs_typescript(node));
    let runtime = if by_bun { "bun run" } else { of_app().or_else(of_node)? };
    Some(Script { name: "start".to_owned(), line: format!("{runtime} {file}") })
}

fn is_typescript(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|e| e == "ts" || e == "tsx")
}

/// Finds the server that a framework built.
pub fn built_server(app: &Path) -> Option<String> {
    let is_file = |path: &str| app.join(path).is_file();
    if let Some(built) = BUILT_SERVERS.iter().find(|p| is_file(p)) {
        return Some((*built).to_owned());
    }
    // What SvelteKit's adapter for Node.js makes.
    if is_file("build/handler.js") && is_file("build/index.js") {
        return Some("build/index.js".to_owned());
    }
    // Angular has a folder for each project of a workspace.
    let projects =
        fs_err::read_dir(app.join("dist")).ok()?.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let mut servers: Vec<String> =
        projects.map(|name| format!("dist/{name}/server/server.mjs")).filter(|p| is_file(p)).collect();
    servers.sort();
    servers.into_iter().next()
}

/// Finds a file that a script starts in the folder that it was built into, where it is not in its own place.
pub fn moved(app: &Path, line: &str) -> Option<String> {
    let path = line.strip_prefix("node ")?.trim().trim_start_matches("./");
    let is_plain = is_script(path) && !path.contains([' ', '$']) && !app.join(path).exists();
    let places = ["build", "dist"].into_iter().map(|dir| format!("{dir}/{path}"));
    places.filter(|_| is_plain).find(|place| app.join(place).is_file())
}

/// Returns whether a built server brings along every package that it needs, as those of Nitro and Next.js do.
pub fn is_complete(server: &str) -> bool {
    server.starts_with(".output/") || server.starts_with(".next/standalone/")
}

/// Makes the process that starts a file.
pub fn process(file: &str) -> Process {
    if file.starts_with(".next/standalone/") {
        // It would listen to the name of the container alone.
        return Process::shell("web", &format!("HOSTNAME=0.0.0.0 exec node {file}"));
    }
    Process::new("web", &["node", file])
}

/// What to start in an app without a start script.
pub fn file(package: &Package, app: &Path) -> Option<String> {
    let is_file = |path: &str| app.join(path).is_file();
    if let Some(built) = built_server(app) {
        return Some(built);
    }
    let main = package.text("main").map(|m| m.trim_start_matches("./").trim_end_matches('/'));
    let main = main.filter(|m| !m.starts_with('/') && !m.split('/').any(|part| part == ".."));
    let main = main.and_then(|main| {
        [main.to_owned(), format!("{main}.js"), format!("{main}/index.js")].into_iter().find(|p| is_file(p))
    });
    main.filter(|m| is_script(m)).or_else(|| FILES.iter().find(|p| is_file(p)).map(|p| (*p).to_owned()))
}

/// Returns whether an app has a server of its own, so that its site is not all of it.
pub fn is_server(package: &Package, app: &Path) -> bool {
    SERVERS.iter().any(|name| package.depends_on(name))
        || BUILT_SERVERS
            .iter()
            .chain(&["build/handler.js", "server.js", "server.mjs"])
            .any(|p| app.join(p).is_file())
}

/// What a compiler made, where nothing else is to start.
pub fn compiled_file(app: &Path) -> Option<&'static str> {
    COMPILED.iter().copied().find(|p| app.join(p).is_file())
}

fn is_script(path: &str) -> bool {
    Path::new(path).extension().is_none_or(|e| e == "js" || e == "mjs" || e == "cjs")
}

/// Finds the folder of a built front-end.
pub fn site(app: &Path) -> Option<String> {
    let has_index = |dir: &str| app.join(dir).join("index.html").is_file();
    if let Some(dir) = SITES.iter().find(|dir| has_index(dir)) {
        return Some((*dir).to_owned());
    }
    // Angular has a folder for each project of a workspace.
    let mut inner: Vec<String> = fs_err::read_dir(app.join("dist"))
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|e| Some(format!("dist/{}", e.file_name().to_str()?)))
        .flat_map(|dir| [format!("{dir}/browser"), dir])
        .filter(|dir| has_index(dir))
        .collect();
    inner.sort();
    inner.into_iter().next()
}

/// Returns whether a site is one page that shows every path: it has one page and none for what is missing.
pub fn is_single_page(site: &Path) -> bool {
    let Ok(entries) = fs_err::read_dir(site) else { return false };
    let pages = entries.filter_map(Result::ok).filter(|e| e.path().extension().is_some_and(|x| x == "html"));
    pages.count() == 1
}

#[cfg(test)]
mod tests {
    use super::{Package, Path, Version, built_server, file, is_single_page, moved, site, typescript};

    #[test]
    fn typescript_is_started_by_what_the_app_has_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let node = Version(20, 20, 0);
        let line = |package: &str, by_bun| {
            typescript(&Package::parse(package).unwrap(), dir.path(), by_bun, node).map(|s| s.line)
        };
        assert_eq!(line("{}", true), None);
        fs_err::create_dir(dir.path().join("src")).unwrap();
        fs_err::write(dir.path().join("src/index.ts"), "").unwrap();
        assert_eq!(line("{}", true).as_deref(), Some("bun run src/index.ts"));
        assert_eq!(line("{}", false), None);
        let by_node = typescript(&Package::default(), dir.path(), false, Version(22, 18, 0));
        assert_eq!(by_node.unwrap().line, "node src/index.ts");
        assert_eq!(line(r#"{"devDependencies":{"tsx":"4"}}"#, false).as_deref(), Some("tsx src/index.ts"));
    }

    #[test]
    fn files_are_started_in_the_documented_order() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path();
        let main = Package::parse(r#"{"main":"./lib/main"}"#).unwrap();
        assert_eq!(file(&main, app), None);
        for (name, expected) in [
            ("app.js", "app.js"),
            ("index.js", "index.js"),
            ("server.js", "server.js"),
            ("lib/main.js", "lib/main.js"),
        ] {
            fs_err::create_dir_all(app.join(name).parent().unwrap()).unwrap();
            fs_err::write(app.join(name), "").unwrap();
            assert_eq!(file(&main, app).as_deref(), Some(expected));
        }
        assert_eq!(file(&Package::default(), app).as_deref(), Some("server.js"));
        assert_eq!(file(&Package::default(), Path::new("/nothing")), None);
    }

    #[test]
    fn servers_that_frameworks_build_are_found_and_files_that_moved() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            fs_err::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs_err::write(dir.path().join(name), "").unwrap();
        };
        assert_eq!(built_server(dir.path()), None);
        write("dist/shop/server/server.mjs");
        assert_eq!(built_server(dir.path()).as_deref(), Some("dist/shop/server/server.mjs"));
        write(".output/server/index.mjs");
        assert_eq!(built_server(dir.path()).as_deref(), Some(".output/server/index.mjs"));
        write("build/bin/server.js");
        assert_eq!(moved(dir.path(), "node bin/server.js").as_deref(), Some("build/bin/server.js"));
        write("bin/server.js");
        assert_eq!(moved(dir.path(), "node bin/server.js"), None);
        assert_eq!(moved(dir.path(), "node nothing.js"), None);
    }

    #[test]
    fn a_built_front_end_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(site(dir.path()), None);
        let inner = dir.path().join("dist/shop/browser");
        fs_err::create_dir_all(&inner).unwrap();
        fs_err::write(inner.join("index.html"), "").unwrap();
        assert_eq!(site(dir.path()).as_deref(), Some("dist/shop/browser"));
        assert!(is_single_page(&inner));
        fs_err::write(inner.join("404.html"), "").unwrap();
        assert!(!is_single_page(&inner));
    }
}
