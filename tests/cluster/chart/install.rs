//! The whole life of a release on a real API server.
