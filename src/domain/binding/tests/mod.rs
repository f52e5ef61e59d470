mod effects;
mod modes;
mod properties;
mod secret;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::connection::{AuthenticationStatus, TokenStatus};
use crate::api::process_binding::{Choice, ConnectionReference};
use crate::api::schema::NameReference;
use crate::api::{
    AuthType, Connection, ConnectionSpec, ConnectionStatus, ProcessBinding, ProcessBindingSpec,
};
use crate::domain::conditions::{Status, merge};
use crate::domain::hand_out::StaticHandOut;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// The process `orders` of namespace `shop`, with one Connection by name.
pub(super) fn binding() -> ProcessBinding {
    let spec = ProcessBindingSpec {
        connector_ref: NameReference { name: "slack".to_owned() },
        connection_ref: Some(ConnectionReference { namespace: None, name: "crm".to_owned() }),
        service_account_name: "orders".to_owned(),
        secret_name: Some("orders-slack".to_owned()),
        ..ProcessBindingSpec::default()
    };
    let mut binding = ProcessBinding::new("orders", spec);
    binding.metadata.namespace = Some("shop".to_owned());
    binding.metadata.uid = Some("binding-uid".to_owned());
    binding.metadata.generation = Some(1);
    binding
}

/// A Connection whose Ready is so.
pub(super) fn connection(namespace: &str, name: &str, ready: &Verdict) -> Connection {
    let spec = ConnectionSpec {
        connector_ref: NameReference { name: "slack".to_owned() },
        ..ConnectionSpec::default()
    };
    let mut connection = Connection::new(name, spec);
    connection.metadata.namespace = Some(namespace.to_owned());
    connection.metadata.uid = Some(format!("uid-of-{namespace}-{name}"));
    connection.status = Some(ConnectionStatus {
        auth_type: Some(AuthType::OAuth2ClientCredentials),
        account: Some("acme".to_owned()),
        base_url: Some("https://slack.example.com/api".to_owned()),
        token: Some(TokenStatus {
            sequence: 1,
            expires_at: Some(Time(at(3600))),
            granted_scopes: vec!["read".to_owned()],
            ..TokenStatus::default()
        }),
        conditions: merge(&[], [(ConditionType::Ready, ready.clone())], Some(1), at(0)),
        ..ConnectionStatus::default()
    });
    connection
}

pub(super) fn ready() -> Verdict {
    Verdict::yes(Reason::Ready, "")
}

/// The same with its token of this number, which ends after as many hours.
pub(super) fn with_token(mut connection: Connection, sequence: i64) -> Connection {
    let token = connection.status.as_mut().unwrap().token.as_mut().unwrap();
    (token.sequence, token.expires_at) = (sequence, Some(Time(at(3600 * sequence))));
    connection
}

pub(super) fn found(connection: Connection) -> Access {
    let static_hand_out = StaticHandOut::Allowed;
    Access::Found(Found { connection, fingerprint: "digest".to_owned(), static_hand_out })
}

pub(super) fn target(namespace: &str, name: &str, access: Access) -> Target {
    Target { namespace: namespace.to_owned(), name: name.to_owned(), access, reviewed_at: at(0) }
}

pub(super) fn observed(access: Access) -> Observed {
    Observed {
        binding: binding(),
        folder: FolderState::Ready("sales".to_owned()),
        targets: vec![target("shop", "crm", access)],
        no_default: None,
        secret: SecretState::None,
        outdated: None,
        tried: Tried::default(),
    }
}

pub(super) fn usable() -> Observed {
    observed(found(connection("shop", "crm", &ready())))
}

/// What Ready says.
pub(super) fn said(decision: &Decision<ProcessBindingStatus, Effect>) -> (String, String, String) {
    let ready = conditions::find(&decision.status.conditions, ConditionType::Ready).unwrap();
    (ready.status.clone(), ready.reason.clone(), ready.message.clone())
}

/// Carries out what is decided, without a cluster, until nothing is left to do; gives the last decision and what was
/// written to Secrets.
pub(super) fn carried_out(
    observed: Observed,
    now: Timestamp,
) -> (Observed, Decision<ProcessBindingStatus, Effect>, Vec<Effect>) {
    carried_out_with(observed, now, |_, effect| done(effect))
}

/// The same where effects come to something else.
pub(super) fn carried_out_with(
    mut observed: Observed,
    now: Timestamp,
    outcome: impl Fn(&Observed, &Effect) -> Outcome,
) -> (Observed, Decision<ProcessBindingStatus, Effect>, Vec<Effect>) {
    let mut effects = Vec::new();
    let mut decision = decide(&observed, now);
    while let Some(effect) = decision.effect.clone() {
        assert!(effects.len() < 5, "it never comes to rest: {effects:?}");
        let outcome = outcome(&observed, &effect);
        learn(&mut observed, outcome);
        effects.push(effect);
        decision = decide(&observed, now);
    }
    observed.binding.status = Some(decision.status.clone());
    // What was tried is known within a pass alone.
    observed.tried = Tried::default();
    (observed, decision, effects)
}

/// What comes of an effect where all goes well.
pub(super) fn done(effect: &Effect) -> Outcome {
    match effect {
        Effect::Write(content) => Outcome::Written(OwnSecret {
            name: content.name.clone(),
            filled_from: content.filled_from.clone(),
            expires_at: content.expires_at,
        }),
        Effect::Discard(_) => Outcome::Discarded,
        Effect::Remove(_) => Outcome::Removed,
    }
}

/// The same after it was carried out once: a binding that has its Secret.
pub(super) fn bound() -> Observed {
    carried_out(usable(), at(0)).0
}

pub(super) fn with_url(mut connection: Connection, url: &str) -> Connection {
    let authentication = AuthenticationStatus { url: Some(url.to_owned()), redirect_uri: None };
    connection.status.as_mut().unwrap().authentication = Some(authentication);
    connection
}

pub(super) fn choice(user: &str, namespace: &str, name: &str) -> Choice {
    let connection_ref = ConnectionReference { namespace: Some(namespace.to_owned()), name: name.to_owned() };
    Choice { user: user.to_owned(), connection_ref }
}

pub(super) fn deleted(mut connection: Connection) -> Connection {
    connection.metadata.deletion_timestamp = Some(Time(at(0)));
    connection
}

pub(super) fn not_ready(reason: Reason) -> Verdict {
    Verdict { status: Status::False, reason, message: "because".to_owned() }
}
