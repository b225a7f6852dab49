//! Fixtures and checks that the tests of several crates share
