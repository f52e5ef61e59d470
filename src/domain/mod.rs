//! The decisions: pure functions from what was observed, and the time, to what is to be done.

pub mod reason;
