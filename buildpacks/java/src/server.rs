//! The server of web apps that come as a plain war: Tomcat, as its own parts for embedding, from Maven's repositories.
//!
//! A war says by the names of the classes it uses which generation it is written for: `javax.servlet` or
//! `jakarta.servlet`. Tomcat is the one server that has both generations, JSP and WebSocket in a few small archives and
//! starts a folder with one command.

use std::ops::ControlFlow;
use std::path::Path;

use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::sbom::{Component, Kind, Sbom, purl_segment};
use cnb_buildpack::{BuildContext, Failure, tree};

use crate::archive;
use crate::jdk::Jdk;
use crate::tool::{self, Tool};

const LAYER: &str = "server";
/// The variable that asks for a version, as Paketo's.
pub(crate) const VERSION: &str = "BP_TOMCAT_VERSION";
/// The versions for `javax.servlet` and for `jakarta.servlet`.
const JAVAX: &str = "9.0.124";
const JAKARTA: &str = "10.1.62";
/// The folder that the war is unpacked into.
pub(crate) const FOLDER: &str = "webapp";

/// Chooses the version of Tomcat for an unpacked war.
pub(crate) fn version(dir: &Path) -> Result<&'static str, Failure> {
    let files = tree::snapshot(dir, &|_| false)?;
    let mut own = (false, false);
    for path in files.keys().filter(|p| archive::has_ending(p, &["class", "jsp", "jspx", "tag", "xml"])) {
        let (old, new) = generations(&fs_err::read(dir.join(path))?);
        own = (own.0 || old, own.1 || new);
    }
    if own.0 != own.1 {
        return Ok(if own.0 { JAVAX } else { JAKARTA });
    }
    let (mut javax, mut jakarta) = (0, 0);
    for path in files.keys().filter(|p| archive::has_ending(p, &["jar"])) {
        let mut its = (false, false);
        archive::classes(&dir.join(path), |class| {
            let (old, new) = generations(class);
            its = (its.0 || old, its.1 || new);
            if its == (true, true) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        javax += usize::from(its.0);
        jakarta += usize::from(its.1);
    }
    // Libraries that know both do so for those who use either.
    let is_old = javax > jakarta;
    Ok(if is_old { JAVAX } else { JAKARTA })
}

/// Whether a file speaks of the old or the new servlets, as a class, in source, or by the schema of `web.xml`.
fn generations(bytes: &[u8]) -> (bool, bool) {
    // Text around what is no text stays as it is.
    let text = String::from_utf8_lossy(bytes);
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    (
        has(&["javax/servlet/", "javax.servlet.", "xmlns.jcp.org/xml/ns/javaee", "java.sun.com/xml/ns/j"]),
        has(&["jakarta/servlet/", "jakarta.servlet.", "jakarta.ee/xml/ns/jakartaee"]),
    )
}

/// Fills the layer of the server, unless an earlier build did.
pub(crate) fn install(cx: &BuildContext, jdk: &Jdk, version: &str) -> Result<(), Failure> {
    let version = cx.var(VERSION).unwrap_or(version);
    let wanted = range(version);
    let metadata = metadata(&[("format", "1"), ("version", &wanted)]);
    let types = LayerTypes::LAUNCH_CACHE;
    cx.cached_layer(LAYER, types, &metadata, |layer| {
        cx.log.step(format!("Tomcat {version}, since the war has no server of its own"));
        let work = cx.layers_dir.join(".server");
        tree::remove(&work)?;
        fs_err::create_dir_all(&work)?;
        fs_err::write(work.join("pom.xml"), pom(&wanted))?;
        let jars = layer.path.join("jars");
        let args = [
            "-q".to_owned(),
            "-f".to_owned(),
            work.join("pom.xml").display().to_string(),
            tool::COPY.to_owned(),
            format!("-DoutputDirectory={}", jars.display()),
        ];
        Tool::Maven.run(cx, jdk, &args)?;
        tree::remove(&work)?;
        fs_err::create_dir_all(layer.path.join("classes/conf"))?;
        fs_err::write(layer.path.join("classes/conf/server.xml"), include_str!("server/server.xml"))?;
        fs_err::write(layer.path.join("classes/conf/web.xml"), include_str!("server/web.xml"))?;
        let mut found = Vec::new();
        for entry in fs_err::read_dir(&jars)? {
            let path = entry?.path();
            found.extend(archive::named(&path.to_string_lossy()).map(|part| component(&part)));
        }
        Ok(Some(found.into_iter().collect::<Sbom>()))
    })?;
    Ok(())
}

/// All parts are known, and with them their groups and licences.
fn component(part: &Component) -> Component {
    let (group, license) = if part.name.starts_with("tomcat-embed") {
        ("org.apache.tomcat.embed", "Apache-2.0")
    } else if part.name.starts_with("tomcat") {
        ("org.apache.tomcat", "Apache-2.0")
    } else {
        ("org.eclipse.jdt", "EPL-2.0")
    };
    let purl = format!("pkg:maven/{group}/{}@{}", purl_segment(&part.name), purl_segment(&part.version));
    Component::new(Kind::Library, &part.name, &part.version, purl).license(Some(license))
}

/// Turns a version with stars, as Paketo has them, into a range of Maven's.
fn range(version: &str) -> String {
    let Some(fixed) = version.strip_suffix(".*") else { return version.to_owned() };
    let fixed = fixed.trim_end_matches(".*");
    let next = fixed.rsplit_once('.').map_or_else(
        || fixed.parse::<u32>().map(|n| (n + 1).to_string()),
        |(first, last)| last.parse::<u32>().map(|n| format!("{first}.{}", n + 1)),
    );
    // A milestone of the next version is less than it.
    next.map_or_else(|_| version.to_owned(), |next| format!("[{fixed},{next}-M0)"))
}

fn pom(version: &str) -> String {
    let dependency = |name: &str| {
        format!(
            "<dependency><groupId>org.apache.tomcat.embed</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
        )
    };
    let dependencies = ["tomcat-embed-jasper", "tomcat-embed-websocket"].map(dependency).concat();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>server</groupId><artifactId>server</artifactId><version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>"
    )
}

/// The arguments of `java` that start the server with the unpacked war, as words of the shell.
pub(crate) fn arguments(cx: &BuildContext) -> String {
    let layer = cx.layer_path(LAYER);
    format!(
        "-Dport=$PORT \"-Dcatalina.base=${{TMPDIR:-/tmp}}/tomcat\" -cp '{0}/classes:{0}/jars/*' org.apache.catalina.startup.Tomcat --no-jmx --war {1} --await",
        layer.display(),
        cx.app_dir.join(FOLDER).display()
    )
}

#[cfg(test)]
mod tests {
    use super::{JAKARTA, JAVAX, range, version};

    #[test]
    fn stars_are_ranges() {
        assert_eq!(range("10.1.20"), "10.1.20");
        assert_eq!(range("9.*"), "[9,10-M0)");
        assert_eq!(range("10.1.*"), "[10.1,10.2-M0)");
    }

    #[test]
    fn a_war_is_of_the_generation_that_its_own_files_speak_of() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("WEB-INF")).unwrap();
        let web = dir.path().join("WEB-INF/web.xml");
        assert_eq!(version(dir.path()).unwrap(), JAKARTA);
        fs_err::write(&web, "<web-app xmlns=\"http://xmlns.jcp.org/xml/ns/javaee\"/>").unwrap();
        assert_eq!(version(dir.path()).unwrap(), JAVAX);
        fs_err::write(&web, "<web-app xmlns=\"https://jakarta.ee/xml/ns/jakartaee\"/>").unwrap();
        assert_eq!(version(dir.path()).unwrap(), JAKARTA);
    }
}
