//! What pages say: a value of [`Texts`] for each language, so that a text that one lacks does not compile. Back-ticks
//! mark what a person types.

mod english;
mod french;

use super::Language;

/// All texts of a language.
pub(super) struct Texts {
    /// The value of `lang`.
    pub(super) tag: &'static str,
    /// Below every page.
    pub(super) footer: &'static str,
    pub(super) start: Start,
    pub(super) moving_on: MovingOn,
    pub(super) connected: Connected,
    pub(super) code: Code,
    pub(super) waiting: Message,
    pub(super) expired: Message,
    pub(super) used: Message,
    pub(super) not_valid: Message,
    pub(super) not_found: Message,
    pub(super) failures: Failures,
    pub(super) connection: Connection,
    pub(super) front: Front,
}

/// The page before the application.
pub(super) struct Start {
    /// Before the Connection's name.
    pub(super) connect: &'static str,
    /// Between the Connection's name and the application's.
    pub(super) to: &'static str,
    pub(super) introduction: &'static str,
    pub(super) requester: &'static str,
    pub(super) folder: &'static str,
    pub(super) connection: &'static str,
    pub(super) application: &'static str,
    pub(super) host: &'static str,
    pub(super) scopes: &'static str,
    pub(super) no_scopes: &'static str,
    pub(super) warning_title: &'static str,
    pub(super) warning: &'static str,
    /// On the button, before the application's name.
    pub(super) proceed: &'static str,
    pub(super) password: &'static str,
}

/// The page between two sites.
pub(super) struct MovingOn {
    pub(super) title: &'static str,
    /// Before the host.
    pub(super) sent_to: &'static str,
    pub(super) link: &'static str,
}

/// The page of a success.
pub(super) struct Connected {
    pub(super) title: &'static str,
    pub(super) connection: &'static str,
    pub(super) account: &'static str,
    pub(super) close: &'static str,
}

/// The page that shows a code to enter.
pub(super) struct Code {
    pub(super) title: &'static str,
    pub(super) enter: &'static str,
    pub(super) warning_title: &'static str,
    pub(super) warning: &'static str,
}

/// A page that is a title and some sentences.
pub(super) struct Message {
    pub(super) title: &'static str,
    pub(super) paragraphs: &'static [&'static str],
}

/// Title, what happened and what to do for each failure, and what stands around the provider's words.
pub(super) struct Failures {
    pub(super) declined: [&'static str; 3],
    pub(super) provider_error: [&'static str; 3],
    pub(super) interrupted: [&'static str; 3],
    /// Title, and what to do; what happened is told by the cluster.
    pub(super) reported: [&'static str; 2],
    pub(super) what_to_do: &'static str,
    pub(super) provider_title: &'static str,
    pub(super) provider_note: &'static str,
    pub(super) code: &'static str,
    pub(super) description: &'static str,
}

/// The page of a Connection.
pub(super) struct Connection {
    /// Before the Connection's name.
    pub(super) title: &'static str,
    pub(super) command: &'static str,
    pub(super) next: &'static str,
    pub(super) state: &'static str,
    pub(super) no_knowledge: &'static str,
}

/// The front page.
pub(super) struct Front {
    pub(super) title: &'static str,
    pub(super) introduction: &'static str,
    pub(super) connect: &'static str,
    pub(super) list: &'static str,
}

impl Texts {
    /// The texts of a language.
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &english::TEXTS,
            Language::French => &french::TEXTS,
        }
    }
}
