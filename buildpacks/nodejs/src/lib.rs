//! Node.js applications with npm
