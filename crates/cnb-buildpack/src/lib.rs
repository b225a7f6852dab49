//! The author side of the Buildpack API: detect and build contexts, layers, environment, SBOM
