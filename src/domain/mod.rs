//! The decisions: pure functions from what was observed, and the time, to what is to be done.

pub mod admission;
pub mod authorities;
pub mod binding;
pub mod conditions;
pub mod connection;
pub mod connector;
pub mod consent;
pub mod consumers;
pub mod decision;
pub mod defaults;
pub mod folder;
pub mod hand_out;
pub mod lookup;
pub mod neighbours;
pub mod policy;
pub mod reason;
