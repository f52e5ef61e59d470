//! What is refused when it is applied: what can never become right, in the words that the conditions use.
//!
//! A ruling looks at more than the API server knows (the Connector, other folders). It is made by the same functions as
//! the conditions, so that who slips past admission reads the same words in the status.

mod connection;
mod consent_request;
mod folder;
mod process_binding;
#[cfg(test)]
mod tests;

pub use connection::{ConnectorSeen, connection, reaches_other_hosts};
pub use consent_request::{OPEN_LIMIT, consent_request, is_open, requester, too_many};
pub use folder::{Leaving, adoption_refused, folder, folder_deletion};
pub use process_binding::process_binding;

/// What becomes of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It passes.
    Pass,
    /// It passes, and its author is told something.
    Warn(String),
    /// It does not pass, and this is why.
    Refuse(String),
}
