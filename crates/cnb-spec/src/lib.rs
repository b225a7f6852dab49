//! Every Cloud Native Buildpacks and OCI format as plain data, with the rules the specifications state about it
