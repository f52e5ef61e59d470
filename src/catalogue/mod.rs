//! The catalogue: turns a Connector's spec into a definition that is checked once and then only read.
//!
//! [`check`] lists every fault at once. What it returns can render addresses, headers and bodies without a value
//! ever leaving its place.

pub mod address;
mod check;
pub mod definition;
pub mod fault;
pub mod hosts;
pub mod method;
pub mod parameters;
pub mod pointer;
mod rule_limits;
pub mod success;
pub mod template;

pub use check::check;
pub use definition::Definition;
pub use fault::Fault;
pub use method::Method;
pub use parameters::{ParameterFault, ParameterFaultKind, Values};
