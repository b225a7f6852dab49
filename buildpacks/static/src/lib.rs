//! Static files served by a small server
