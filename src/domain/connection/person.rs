//! Connections that only a person in a browser can authenticate: what the person is told, and where to go.

use jiff::Timestamp;

use crate::api::connection::{AuthenticationStatus, ConnectionStatus};
use crate::domain::conditions::Verdict;
use crate::domain::consent::addresses;
use crate::domain::reason::Reason;

use super::observed::{Observed, TokenState};
use super::{ADDRESS_LIMIT, Assessment, prepare, token};

/// What is shown of authentication in a browser before anything is decided: the address to register, for all who need
/// one, because registering comes before there is a client.
pub(super) fn describe(observed: &Observed, facts: &mut ConnectionStatus) {
    let of_person = prepare::chosen(observed).filter(|(_, method)| method.auth_type().needs_person());
    facts.authentication = of_person.map(|(definition, _)| {
        let connector = &observed.connection.spec.connector_ref.name;
        let (public_url, mode) = (&observed.settings.public_url, definition.redirect());
        let uri = addresses::redirect_uri(public_url, mode, connector, observed.namespace(), observed.name());
        AuthenticationStatus { url: None, redirect_uri: shown(uri) }
    });
}

/// Whether the Connection is authenticated.
pub(super) fn assess(observed: &Observed, facts: &mut ConnectionStatus, now: Timestamp) -> Assessment {
    match &observed.token {
        TokenState::Present(token) if token.valid_at(now) => {
            Assessment::of(token::issued()).again_at(token.expires_at)
        }
        _ => {
            call(observed, facts);
            Assessment::of(Verdict::no(
                Reason::AwaitingAuthentication,
                format!(
                    "a person has to authenticate this connection: run {}, or open {}",
                    connect_command(observed),
                    page(observed)
                ),
            ))
        }
    }
}

/// Shows the page on which a person can act.
fn call(observed: &Observed, facts: &mut ConnectionStatus) {
    facts.authentication.get_or_insert_default().url = shown(page(observed));
}

fn page(observed: &Observed) -> String {
    addresses::connection_page(&observed.settings.public_url, observed.namespace(), observed.name())
}

/// An address, where it fits its field.
fn shown(address: String) -> Option<String> {
    Some(address).filter(|address| address.len() <= ADDRESS_LIMIT)
}

/// The command with which a person begins.
fn connect_command(observed: &Observed) -> String {
    format!("`kubectl liaison connect {} -n {}`", observed.name(), observed.namespace())
}
