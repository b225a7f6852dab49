//! Keep cache layers between builds, transactionally
