//! The decisions: pure functions from what was observed, and the time, to what is to be done.

pub mod admission;
pub mod authorities;
pub mod conditions;
pub mod connection;
pub mod connector;
pub mod consent;
pub mod decision;
pub mod folder;
pub mod hand_out;
pub mod lookup;
pub mod reason;
