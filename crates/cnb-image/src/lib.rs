//! Make OCI images: reproducible layers, a content-addressed blob store, layouts and archives
