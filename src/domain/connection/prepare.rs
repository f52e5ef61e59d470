//! What has to be right before anything can be authenticated, in the order in which a person would mend it.

use std::collections::BTreeSet;

use crate::api::names::CREDENTIALS_LABEL;
use crate::api::{AuthType, ConnectionSpec};
use crate::catalogue::{Definition, Method, ParameterFault, ParameterFaultKind, Values};
use crate::domain::policy::{self, EffectivePolicy, GivenParameters, Violation};
use crate::domain::reason::Reason;

use super::governance;
use super::observed::{ConnectorState, FolderState, Observed, digest_of};
use super::secrets::{credential, oauth_client};

/// A Connection whose references are all there.
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    /// The checked description of its Connector.
    pub definition: &'a Definition,
    /// The way it authenticates.
    pub method: &'a Method,
    /// Values of the plain parameters.
    pub values: Values,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Scheme, host and port of every kind of request that may carry the credential.
    pub targets: Vec<String>,
    /// Keyed digest of the credential that comes from Secrets.
    pub credential: String,
    /// The OAuth client's id, where there is a client.
    pub client_id: Option<String>,
    /// Digest of everything that an attempt to authenticate depends on.
    pub inputs: String,
    /// Which authentication the annotation asks for, where one may be made.
    pub asked: Option<String>,
    /// What policies do not allow, and which leaves alone what was authenticated before.
    pub reported: Option<Violation>,
}

impl Prepared<'_> {
    /// The host and port that a person is sent to, where a person is needed.
    pub fn authorize_host(&self) -> Option<&str> {
        let target = self.targets.iter().find_map(|target| target.strip_prefix("authorize "))?;
        target.split_once("://").map(|(_, host)| host)
    }
}

/// Why a Connection cannot be authenticated as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// In one word.
    pub reason: Reason,
    /// For people: what is missing, and the next step.
    pub message: String,
}

impl Blocked {
    pub(super) fn because(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Checks the folder, the policies and the references one after the other; the first that fails is the one to mend. What
/// policies do not allow stops a Connection, unless it was authenticated before and they only report.
pub fn prepare(observed: &Observed) -> Result<Prepared<'_>, Blocked> {
    folder(observed)?;
    let passed = |violation: Option<Violation>| match violation {
        Some(violation) if governance::stops(observed, &violation) => Err(violation.blocked),
        violation => Ok(violation),
    };
    let reported = passed(governance::stands_against(observed))?;
    let prepared = prepare_requests(observed)?;
    let of_account = passed(governance::account_stands_against(observed, &prepared))?;
    let reported = reported.or(of_account);
    let asked = prepared.asked.clone().filter(|_| reported.is_none());
    Ok(Prepared { asked, reported, ..prepared })
}

/// The same for a person who consents now, or a credential that is new: no violation leaves that alone.
pub fn prepare_anew(observed: &Observed) -> Result<Prepared<'_>, Blocked> {
    let prepared = prepare(observed)?;
    match prepared.reported {
        Some(violation) => Err(violation.blocked),
        None => Ok(prepared),
    }
}

/// The same without the folder: what is needed to speak to the provider, also while the folder goes.
pub fn prepare_requests(observed: &Observed) -> Result<Prepared<'_>, Blocked> {
    let (definition, identity) = connector(observed)?;
    let spec = &observed.connection.spec;
    let method = method(spec, definition)?;
    let policy = &observed.policy;
    let values = parameters(spec, policy, definition, method)?;
    let credential = credential(observed, method)?;
    let client_id = oauth_client(observed, definition, method)?;
    let http_allowed = |host: &str, port: u16| observed.http_allowed(host, port);
    let targets = definition
        .targets(method, &values, &http_allowed)
        .map_err(|fault| Blocked::because(Reason::EgressDenied, fault.to_string()))?
        .iter()
        .map(ToString::to_string)
        .collect();
    let scopes = policy::scopes(spec, method, policy);
    let asked = observed.reauthenticate_at();
    // A person's consent answers the annotation; no request of our own does.
    let answered = asked.as_ref().filter(|_| !method.auth_type().needs_person());
    let exceptions: BTreeSet<_> =
        observed.settings.egress_exceptions.union(&policy.egress_exceptions).collect();
    let inputs = digest_of(&[
        identity,
        &method.auth_type().to_string(),
        &format!("{:?}", policy::given_parameters(spec, method, policy).values),
        &scopes.join(" "),
        &credential,
        answered.map(String::as_str).unwrap_or_default(),
        &format!("{exceptions:?}"),
    ]);
    let reported = None;
    Ok(Prepared {
        definition,
        method,
        values,
        scopes,
        targets,
        credential,
        client_id,
        inputs,
        asked,
        reported,
    })
}

/// The checked description of the Connector, where there is one.
pub(super) fn definition(observed: &Observed) -> Option<&Definition> {
    connector(observed).ok().map(|(definition, _)| definition)
}

/// The way to authenticate as far as it is known, whatever else is missing.
pub(super) fn chosen(observed: &Observed) -> Option<(&Definition, &Method)> {
    let (definition, _) = connector(observed).ok()?;
    Some((definition, method(&observed.connection.spec, definition).ok()?))
}

fn folder(observed: &Observed) -> Result<(), Blocked> {
    let namespace = observed.namespace();
    match &observed.folder {
        FolderState::Ready(_) => Ok(()),
        FolderState::NotFound => Err(Blocked::because(
            Reason::FolderNotFound,
            format!(
                "no Folder owns namespace \"{namespace}\"; create a Folder with spec.namespace: {namespace} and \
                 spec.adopt: true, or move the Connection to a folder's namespace"
            ),
        )),
        FolderState::NotReady(name, cause) => {
            Err(Blocked::because(Reason::FolderNotReady, format!("folder \"{name}\" is not ready: {cause}")))
        }
        FolderState::Settling => Err(Blocked::because(
            Reason::FolderNotReady,
            format!("the folder of namespace \"{namespace}\" has not been looked at yet"),
        )),
        FolderState::Terminating => Err(Blocked::because(
            Reason::NamespaceTerminating,
            format!("namespace \"{namespace}\" or its folder is being deleted"),
        )),
    }
}

fn connector(observed: &Observed) -> Result<(&Definition, &str), Blocked> {
    let name = &observed.connection.spec.connector_ref.name;
    match &observed.connector {
        ConnectorState::Valid { definition, identity } => Ok((definition, identity)),
        ConnectorState::NotFound => Err(Blocked::because(
            Reason::ConnectorNotFound,
            format!("connector {name} does not exist; `kubectl get connectors` lists the catalogue"),
        )),
        ConnectorState::Invalid(faults) => Err(Blocked::because(
            Reason::ConnectorInvalid,
            format!("connector {name} has faults that its administrator has to mend: {}", faults.join("; ")),
        )),
        ConnectorState::Unavailable(cause) => Err(Blocked::because(
            Reason::ConnectorInvalid,
            format!("connector {name} cannot be used yet: {cause}"),
        )),
    }
}

/// The way that a Connection authenticates: the one that it names, or the only one that there is.
pub(in crate::domain) fn method<'a>(
    spec: &ConnectionSpec,
    definition: &'a Definition,
) -> Result<&'a Method, Blocked> {
    let connector = &spec.connector_ref.name;
    let offered = definition.auth_types();
    let listed = || offered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    // A person's own app comes with the authorization code method; it has to be asked for.
    let own: Vec<_> = offered.iter().filter(|offered| **offered != AuthType::OAuth2BringYourOwnApp).collect();
    let chosen = match (spec.auth_type, own.as_slice()) {
        (Some(auth_type), _) => auth_type,
        (None, [only]) => **only,
        (None, _) => {
            return Err(Blocked::because(
                Reason::AuthTypeRequired,
                format!(
                    "connector \"{connector}\" supports several auth types; set spec.authType to one of {}; it \
                     cannot be set later, so create the Connection again",
                    listed()
                ),
            ));
        }
    };
    definition.method(chosen).filter(|_| offered.contains(&chosen)).ok_or_else(|| {
        if chosen == AuthType::OAuth2BringYourOwnApp {
            return Blocked::because(
                Reason::AuthTypeNotSupported,
                format!(
                    "connector \"{connector}\" has no OAuth2 authorization code method, so it cannot take your own app"
                ),
            );
        }
        Blocked::because(
            Reason::AuthTypeNotSupported,
            format!(
                "connector \"{connector}\" does not support authType \"{chosen}\"; supported: {}",
                listed()
            ),
        )
    })
}

/// The values of the plain parameters: those that the Connection gives, over those of its policy.
pub(in crate::domain) fn parameters(
    spec: &ConnectionSpec,
    policy: &EffectivePolicy,
    definition: &Definition,
    method: &Method,
) -> Result<Values, Blocked> {
    let given = policy::given_parameters(spec, method, policy);
    let referenced = policy::credentials(spec, policy).is_some();
    let resolved = definition.resolve(method, &given.values);
    let (missing, wrong): (Vec<_>, Vec<_>) = match &resolved {
        Ok(_) => (Vec::new(), Vec::new()),
        Err(faults) => faults.iter().partition(|fault| fault.kind == ParameterFaultKind::Missing),
    };
    if !wrong.is_empty() {
        let listed = wrong.iter().map(|fault| told(fault, &given)).collect::<Vec<_>>().join("; ");
        return Err(Blocked::because(Reason::ParametersInvalid, listed));
    }
    let mut needed: Vec<String> = missing.iter().map(|fault| parameter_of(fault)).collect();
    let secrets = if referenced { Vec::new() } else { method.secret_names().required };
    needed.extend(secrets.iter().cloned());
    if !needed.is_empty() {
        return Err(Blocked::because(
            Reason::ParametersMissing,
            format!(
                "connector \"{}\" with authType \"{}\" needs parameters: {}{}",
                spec.connector_ref.name,
                method.auth_type(),
                needed.join(", "),
                where_to_put(missing.is_empty(), &secrets),
            ),
        ));
    }
    resolved.map_err(|_| Blocked::because(Reason::ParametersInvalid, "parameters are not accepted"))
}

/// A fault of a value, which may be a policy's.
fn told(fault: &ParameterFault, given: &GivenParameters) -> String {
    let name = parameter_of(fault);
    match &given.by_policy {
        Some((names, by)) if names.contains(&name) => {
            format!("parameter {name}, as policy \"{by}\" sets it, {}; ask its administrator", fault.message)
        }
        _ => fault.to_string(),
    }
}

fn where_to_put(plain_given: bool, secrets: &[String]) -> String {
    match (plain_given, secrets.is_empty()) {
        (true, true) => String::new(),
        (false, true) => "; set them in spec.parameters".to_owned(),
        (_, false) => format!(
            "; {}put {} into a Secret with the label {CREDENTIALS_LABEL}: \"true\" and name it in \
             spec.credentials.secretRef",
            if plain_given { "" } else { "set the others in spec.parameters, and " },
            secrets.join(", "),
        ),
    }
}

/// The parameter's name alone.
fn parameter_of(fault: &ParameterFault) -> String {
    fault.field.strip_prefix("spec.parameters.").unwrap_or(&fault.field).to_owned()
}
