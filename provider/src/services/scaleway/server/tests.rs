//! The server resource.
