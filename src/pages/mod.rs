//! The pages that a person sees in a browser while connecting: complete documents, without a script and without
//! anything to load. Pure: from facts and a language to text. What they show is escaped where it is written, and
//! made harmless to read by `visible`.

mod failure;
mod language;
mod names;
mod target;
mod texts;
mod views;
mod visible;

#[cfg(test)]
mod tests;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use failure::{Failure, ProviderWords};
pub use language::Language;
pub use names::{ConnectionNames, is_name_in_namespace};
pub use target::Target;

use texts::Texts;
use views::Icon;
use visible::Visible;

/// The one style sheet. It stands in every page, so that a page loads nothing.
const STYLE: &str = include_str!("style.css");

/// A finished page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The document, in UTF-8.
    pub html: String,
}

impl Page {
    fn of(template: &impl Template) -> Self {
        let mut html = String::new();
        // Fails only where the target of the writing does, and a String takes everything.
        let _ = template.render_into(&mut html);
        Self { html }
    }

    /// The value of `Content-Security-Policy` that this page works under: its own style sheet by hash, and nothing
    /// else. `form_action` says whether the page has a form, which goes to where the page came from.
    pub fn content_security_policy(&self, form_action: bool) -> String {
        let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        let target = if form_action { "'self'" } else { "'none'" };
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action {target}; frame-ancestors 'none'; base-uri 'none'"
        )
    }
}

/// What a person confirms before being sent to an application.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// Where the form goes: the address of this page.
    pub action: &'a str,
    /// The start secret, which the form sends along as `start`.
    pub start: &'a str,
    /// The person who asks, as the cluster knows them.
    pub requester: &'a str,
    /// The folder that the Connection is in.
    pub folder: &'a str,
    /// The Connection.
    pub connection: ConnectionNames<'a>,
    /// The application's display name.
    pub application: &'a str,
    /// The permissions that the application is asked for.
    pub scopes: &'a [String],
    /// The host that the browser is sent to.
    pub host: &'a str,
}

/// Shows who wants to connect what, and lets the person go on. To show it changes nothing.
pub fn start(language: Language, start: &Start) -> Page {
    let texts = Texts::of(language);
    Page::of(&views::StartPage {
        texts,
        style: STYLE,
        action: start.action,
        start: start.start,
        requester: Visible::of(start.requester),
        folder: Visible::of(start.folder),
        connection: start.connection.shown(),
        application: Visible::of(start.application),
        scopes: start.scopes.iter().map(|scope| Visible::of(scope)).collect(),
        host: Visible::of(start.host),
    })
}

/// Moves the browser to another address by itself, and shows a link in case that it does not. A redirect would not do:
/// browsers hold it against the page before (`docs/adr/0015-a-page-instead-of-a-redirect.md`).
pub fn moving_on(language: Language, target: &Target) -> Page {
    let texts = Texts::of(language);
    Page::of(&views::MovingOnPage {
        texts,
        style: STYLE,
        target,
        authority: Visible::of(&target.authority()),
    })
}

/// The last page of a success: the Connection, and the account at the application where it is known.
pub fn connected(language: Language, connection: &ConnectionNames, account: Option<&str>) -> Page {
    let texts = Texts::of(language);
    let account = account.map(Visible::of);
    Page::of(&views::ConnectedPage { texts, style: STYLE, connection: connection.shown(), account })
}

/// The last page where the browser is not on the machine of the command: the code that the person enters there.
pub fn code(language: Language, code: &str) -> Page {
    Page::of(&views::CodePage { texts: Texts::of(language), style: STYLE, code })
}

/// The last page while the outcome is not known yet.
pub fn waiting(language: Language) -> Page {
    message(language, &Texts::of(language).waiting, Icon::Clock)
}

/// The last page of a failure. What the provider said stands apart and is marked as its words.
pub fn failed(language: Language, failure: &Failure, provider: Option<&ProviderWords>) -> Page {
    let texts = Texts::of(language);
    let [title, happened, to_do] = failure.worded(&texts.failures).map(Visible::of);
    let provider = provider.map(ProviderWords::shown);
    Page::of(&views::FailedPage { texts, style: STYLE, title, happened, to_do, provider })
}

/// The link has expired.
pub fn expired(language: Language) -> Page {
    message(language, &Texts::of(language).expired, Icon::Clock)
}

/// The link has been used.
pub fn used(language: Language) -> Page {
    message(language, &Texts::of(language).used, Icon::Clock)
}

/// The link is not valid: the same page whatever the cause, so that it tells nothing to who guesses.
pub fn not_valid(language: Language) -> Page {
    message(language, &Texts::of(language).not_valid, Icon::Cross)
}

/// There is no such page.
pub fn not_found(language: Language) -> Page {
    message(language, &Texts::of(language).not_found, Icon::Question)
}

/// The page of a Connection: how to connect it, the same whether it exists or not. None if there can be no Connection
/// of that name.
pub fn connection(language: Language, namespace: &str, name: &str) -> Option<Page> {
    let texts = Texts::of(language);
    is_name_in_namespace(namespace, name)
        .then(|| Page::of(&views::ConnectionPage { texts, style: STYLE, namespace, name }))
}

/// The front page: what this is.
pub fn front(language: Language) -> Page {
    Page::of(&views::FrontPage { texts: Texts::of(language), style: STYLE })
}

fn message(language: Language, message: &'static texts::Message, icon: Icon) -> Page {
    Page::of(&views::MessagePage { texts: Texts::of(language), style: STYLE, message, icon })
}
