//! What Maven, Gradle and the compiler say when something is wrong, and what it means.

use cnb_buildpack::command::Cause;

/// What the tools say when something is wrong, and what it means.
pub(crate) const ALL: &[Cause] = &[
    Cause {
        says: "invalid target release",
        means: "the app is compiled for a newer Java than the one that builds it",
        next: "ask for that Java with CNB_JAVA_VERSION, or install it on this machine",
    },
    Cause {
        says: "release version",
        means: "the app is compiled for a newer Java than the one that builds it",
        next: "ask for that Java with CNB_JAVA_VERSION, or install it on this machine",
    },
    Cause {
        says: "option 5 is no longer supported",
        means: "`pom.xml` does not say for which Java it compiles, and what Maven assumes is too old for this one",
        next: "set `maven.compiler.release` in the properties of `pom.xml`",
    },
    Cause {
        says: "Unsupported class file major version",
        means: "the build tool or a plugin does not know a Java as new as this",
        next: "ask for an older Java with CNB_JAVA_VERSION, or update the tool",
    },
    Cause {
        says: "requires Maven version",
        means: "a plugin needs a newer Maven",
        next: "add a Maven wrapper to the app (`mvn wrapper:wrapper`), or update Maven on this machine",
    },
    Cause {
        says: "package javax.xml.bind does not exist",
        means: "the app needs a part of Java that is gone since Java 11",
        next: "ask for Java 8 with CNB_JAVA_VERSION=8 where this machine has it, or add `jakarta.xml.bind-api` to the app",
    },
    Cause {
        says: "COMPILATION ERROR",
        means: "the source does not compile",
        next: "the lines above name file and line",
    },
    Cause {
        says: "There are test failures",
        means: "a test failed",
        next: "repair it, or leave out tests: BP_MAVEN_ADDITIONAL_BUILD_ARGUMENTS=-DskipTests",
    },
    Cause {
        says: "frontend-maven-plugin",
        means: "the build downloads a Node.js of its own for the front-end, which failed",
        next: "make the site of Node.js reachable, or build the front-end with a `package.json` of its own",
    },
    Cause {
        says: "Could not find artifact",
        means: "no repository has a package that is needed",
        next: "check its name and version, and whether it needs a repository of its own (binding of type `maven`)",
    },
    Cause {
        says: "Could not transfer artifact",
        means: "the package repository cannot be reached",
        next: "check the network, the proxy, and the mirror in Maven's `settings.xml`",
    },
    Cause {
        says: "UnknownHostException",
        means: "a host cannot be reached",
        next: "check the network and the proxy; a Gradle wrapper needs the site of Gradle, or a Gradle on this machine",
    },
    Cause {
        says: "No space left on device",
        means: "the disk is full",
        next: "free space, or allow the build more",
    },
];
