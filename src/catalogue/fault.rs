//! What is wrong with a Connector's description.

use std::fmt;

/// One fault of a Connector's description: where it is and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field, such as `spec.authMethods[OAuth2ClientCredentials].oauth2.tokenURL`.
    pub field: String,
    /// What is wrong, in words that tell how to mend it.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.problem)
    }
}

/// Gathers the faults of one description.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Notes one fault.
    pub(super) fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(Fault { field: field.into(), problem: problem.into() });
    }

    /// Notes the error of a step and goes on without its value.
    pub(super) fn take<T, E: fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error.to_string())).ok()
    }

    /// Everything noted, in the order of the description.
    pub(super) fn into_list(self) -> Vec<Fault> {
        self.0
    }
}
