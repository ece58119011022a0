//! Servers for development and tests: none of this is in a released container.
