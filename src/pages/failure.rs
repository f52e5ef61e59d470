//! Why somebody is not connected, in a person's words.

use super::texts::Failures;
use super::visible::Visible;

/// What went wrong.
#[derive(Clone, Copy, Debug)]
pub enum Failure<'a> {
    /// The person said no at the application.
    Declined,
    /// The application answered with an error.
    ProviderError,
    /// Liaison could not do its part.
    Interrupted,
    /// What stands in the cluster about it: whoever mends it reads the same words there.
    Reported(&'a str),
}

impl<'a> Failure<'a> {
    /// Title, what happened, what to do.
    pub(super) fn worded(&self, texts: &Failures) -> [&'a str; 3] {
        match *self {
            Self::Declined => texts.declined,
            Self::ProviderError => texts.provider_error,
            Self::Interrupted => texts.interrupted,
            Self::Reported(message) => [texts.reported[0], message, texts.reported[1]],
        }
    }
}

/// What the application answered. Anybody can put anything there, so only the first 300 characters of each are shown,
/// marked as the application's words.
#[derive(Clone, Copy, Debug)]
pub struct ProviderWords<'a> {
    /// The error code, `error` of RFC 6749.
    pub code: &'a str,
    /// The description, `error_description` of RFC 6749.
    pub description: Option<&'a str>,
}

/// The same, as pages show it.
pub(super) struct ShownWords {
    pub(super) code: Visible,
    pub(super) description: Option<Visible>,
}

impl ProviderWords<'_> {
    pub(super) fn shown(&self) -> ShownWords {
        ShownWords { code: Visible::cut(self.code), description: self.description.map(Visible::cut) }
    }
}
