//! What package managers and the scripts of a build say when something is wrong, and what it means.

use cnb_buildpack::command::Cause;

const MEMORY: Cause = Cause {
    says: "JavaScript heap out of memory",
    means: "Node.js ran out of memory",
    next: "set `NODE_OPTIONS=--max-old-space-size=4096` with `--env`, or split the build",
};
const HASH: Cause = Cause {
    says: "ERR_OSSL_EVP_UNSUPPORTED",
    means: "an old build tool wants a hash that this Node.js no longer has",
    next: "update the tool, or set `NODE_OPTIONS=--openssl-legacy-provider` with `--env`",
};
const DISK: Cause =
    Cause { says: "ENOSPC", means: "the disk is full", next: "free space, or allow the build more" };
const COMMAND: Cause = Cause {
    says: "command not found",
    means: "a script uses a command that is neither installed here nor a dependency",
    next: "add the package that provides it to the dependencies in `package.json`",
};
const COMMAND_OF_SH: Cause = Cause {
    says: ": not found",
    means: "a script uses a command that is neither installed here nor a dependency",
    next: "add the package that provides it to the dependencies in `package.json`",
};

/// What package managers say.
pub(crate) const CAUSES: &[Cause] = &[
    Cause {
        says: "EUNSUPPORTEDPROTOCOL",
        means: "a dependency is written in a way that npm does not know, such as `workspace:`",
        next: "this buildpack installs with npm: write the dependency as a version or `file:`",
    },
    Cause {
        says: "ERESOLVE",
        means: "the packages' peer dependencies contradict each other",
        next: "update the packages, or put `legacy-peer-deps=true` into the app's `.npmrc`",
    },
    Cause {
        says: "EINTEGRITY",
        means: "a package is not the one that the lock file names",
        next: "find out which is right before you change the lock file",
    },
    Cause {
        says: "EBADENGINE",
        means: "a package refuses this version of Node.js or npm",
        next: "name a version that it accepts in `engines.node` or `.nvmrc`",
    },
    Cause {
        says: "gyp ERR! find Python",
        means: "a package compiles native code and Python is missing",
        next: "install python3 on this machine, or use a version of the package with prebuilt binaries",
    },
    Cause {
        says: "not found: make",
        means: "a package compiles native code and make is missing",
        next: "install make and a C++ compiler on this machine",
    },
    Cause {
        says: "gyp ERR!",
        means: "a package's native code could not be compiled",
        next: "read the lines above; a C++ compiler, make, python3 and the Node.js headers must be on this machine",
    },
    Cause {
        says: "E401",
        means: "the package registry wants to know who is asking",
        next: "put the registry's token into the app's `.npmrc`, as `${NPM_TOKEN}` with `--env NPM_TOKEN=…`",
    },
    Cause {
        says: "E403",
        means: "the package registry refuses a package",
        next: "check the registry's rules and the token in `.npmrc`",
    },
    Cause {
        says: "E404",
        means: "a package is not in the registry",
        next: "check its name; for a private package, name its registry in the app's `.npmrc`",
    },
    Cause {
        says: "ETARGET",
        means: "a version of a package is not in the registry",
        next: "choose a published version in `package.json`",
    },
    Cause {
        says: "SELF_SIGNED_CERT_IN_CHAIN",
        means: "the package registry's certificate is not trusted here",
        next: "add the registry's authority to this machine's CA certificates",
    },
    Cause {
        says: "unable to get local issuer certificate",
        means: "the package registry's certificate is not trusted here",
        next: "add the registry's authority to this machine's CA certificates",
    },
    Cause {
        says: "ENOTFOUND",
        means: "the package registry cannot be reached",
        next: "check the network, the proxy and the registry in `.npmrc`",
    },
    Cause {
        says: "EAI_AGAIN",
        means: "the package registry cannot be reached: its name does not resolve",
        next: "check the network, the proxy and the registry in `.npmrc`",
    },
    Cause {
        says: "ECONNRESET",
        means: "the connection to the package registry broke",
        next: "try again; check the network and the proxy",
    },
    Cause {
        says: "ECONNREFUSED",
        means: "the package registry cannot be reached",
        next: "check the network, the proxy and the registry in `.npmrc`",
    },
    Cause {
        says: "ETIMEDOUT",
        means: "the package registry does not answer in time",
        next: "try again; check the network, the proxy and the registry in `.npmrc`",
    },
    MEMORY,
    HASH,
    DISK,
    COMMAND,
    COMMAND_OF_SH,
];

/// What scripts of the build say: they want other sites than the registry.
pub(crate) const SCRIPT_CAUSES: &[Cause] = &[
    Cause {
        says: "Failed to fetch `",
        means: "the fonts of a web site are to be downloaded, and that site cannot be reached",
        next: "check the network and the proxy, or keep the fonts in the app (`next/font/local`)",
    },
    Cause {
        says: "ENOTFOUND",
        means: "the script needs a site that cannot be reached: its name does not resolve",
        next: "check the network and the proxy; the lines above name the site",
    },
    Cause {
        says: "EAI_AGAIN",
        means: "the script needs a site that cannot be reached: its name does not resolve",
        next: "check the network and the proxy; the lines above name the site",
    },
    Cause {
        says: "ECONNREFUSED",
        means: "the script needs a service that does not answer",
        next: "the lines above name it; a build has no database: what needs one belongs into a `release` process",
    },
    MEMORY,
    HASH,
    DISK,
    COMMAND,
    COMMAND_OF_SH,
];

#[cfg(test)]
mod tests {
    use super::CAUSES;

    #[test]
    fn a_registry_that_cannot_be_reached_is_named_as_the_cause() {
        for code in ["EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT"] {
            let line = format!("npm error code {code}");
            let cause = CAUSES.iter().find(|c| line.contains(c.says)).map(|c| c.means);
            assert!(cause.is_some_and(|means| means.contains("registry")), "{code}: {cause:?}");
        }
    }
}
