//! Choose a buildpack group and resolve the build plan
