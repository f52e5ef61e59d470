//! What has to be right before anything can be authenticated, in the order in which a person would mend it.

use crate::api::names::{CLIENT_ID_KEY, CLIENT_SECRET_KEY, CREDENTIALS_LABEL};
use crate::api::oauth2::ClientAuthentication;
use crate::api::{AuthType, ConnectionSpec};
use crate::catalogue::{Definition, Method, ParameterFault, ParameterFaultKind, Values};
use crate::domain::reason::Reason;

use super::observed::{ConnectorState, FolderState, Observed, SecretState, digest_of};

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
    fn because(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Checks the references one after the other; the first that fails is the one to mend.
pub fn prepare(observed: &Observed) -> Result<Prepared<'_>, Blocked> {
    folder(observed)?;
    prepare_requests(observed)
}

/// The same without the folder: what is needed to speak to the provider, also while the folder goes.
pub fn prepare_requests(observed: &Observed) -> Result<Prepared<'_>, Blocked> {
    let (definition, identity) = connector(observed)?;
    let spec = &observed.connection.spec;
    let method = method(spec, definition)?;
    let values = parameters(spec, observed.credentials != SecretState::NotReferenced, definition, method)?;
    let credential = credential(observed, method)?;
    let client_id = oauth_client(observed, definition, method)?;
    let http_allowed = |host: &str, port: u16| observed.settings.http_allowed(host, port);
    let targets = definition
        .targets(method, &values, &http_allowed)
        .map_err(|fault| Blocked::because(Reason::EgressDenied, fault.to_string()))?
        .iter()
        .map(ToString::to_string)
        .collect();
    let scopes = requested_scopes(observed, method);
    // A person's consent answers the annotation; no request of our own does.
    let asked = observed.reauthenticate_at().filter(|_| !method.auth_type().needs_person());
    let inputs = digest_of(&[
        identity,
        &method.auth_type().to_string(),
        &format!("{:?}", observed.connection.spec.parameters),
        &scopes.join(" "),
        &credential,
        &asked.unwrap_or_default(),
        &format!("{:?}", observed.settings.egress_exceptions),
    ]);
    Ok(Prepared { definition, method, values, scopes, targets, credential, client_id, inputs })
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

/// The values of the plain parameters; `referenced` says whether the Connection names a Secret for the others.
pub(in crate::domain) fn parameters(
    spec: &ConnectionSpec,
    referenced: bool,
    definition: &Definition,
    method: &Method,
) -> Result<Values, Blocked> {
    let resolved = definition.resolve(method, &spec.parameters);
    let (missing, wrong): (Vec<_>, Vec<_>) = match &resolved {
        Ok(_) => (Vec::new(), Vec::new()),
        Err(faults) => faults.iter().partition(|fault| fault.kind == ParameterFaultKind::Missing),
    };
    if !wrong.is_empty() {
        let listed = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
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

fn credential(observed: &Observed, method: &Method) -> Result<String, Blocked> {
    let names = method.secret_names();
    let required = &names.required;
    let mut parts = Vec::new();
    if !required.is_empty() || observed.credentials != SecretState::NotReferenced {
        let field = "spec.credentials.secretRef";
        let found = usable(&observed.credentials, field, observed, Reason::CredentialsMissing)?;
        require_keys(found, required, observed, Reason::CredentialsMissing, "")?;
        let values = names.required.iter().chain(&names.optional).filter_map(|name| found.1.get(name));
        parts.extend(values.map(String::as_str));
    }
    if let SecretState::Found { fingerprints, .. } = &observed.oauth_app {
        parts.extend(fingerprints.values().map(String::as_str));
    }
    Ok(digest_of(&parts))
}

fn oauth_client(
    observed: &Observed,
    definition: &Definition,
    method: &Method,
) -> Result<Option<String>, Blocked> {
    if !method.auth_type().has_oauth_client() {
        return Ok(None);
    }
    let hint = definition
        .documentation_url()
        .map(|url| format!("; how to register an OAuth app: {url}"))
        .unwrap_or_default();
    let field = "spec.oauthApp.secretRef";
    let missing = |blocked: Blocked| Blocked { message: blocked.message + &hint, ..blocked };
    let found =
        usable(&observed.oauth_app, field, observed, Reason::ClientCredentialsMissing).map_err(missing)?;
    let public =
        method.oauth2().is_some_and(|oauth2| oauth2.client_authentication == ClientAuthentication::None);
    let keys: &[&str] = if public { &[CLIENT_ID_KEY] } else { &[CLIENT_ID_KEY, CLIENT_SECRET_KEY] };
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    require_keys(found, &keys, observed, Reason::ClientCredentialsMissing, &hint)?;
    match &observed.oauth_app {
        SecretState::Found { client_id, .. } => Ok(client_id.clone()),
        _ => Ok(None),
    }
}

type FoundSecret<'a> = (&'a str, &'a std::collections::BTreeMap<String, String>);

fn usable<'a>(
    secret: &'a SecretState,
    field: &str,
    observed: &Observed,
    reason: Reason,
) -> Result<FoundSecret<'a>, Blocked> {
    let namespace = observed.namespace();
    let message = match secret {
        SecretState::Found { name, fingerprints, .. } => return Ok((name, fingerprints)),
        SecretState::NotReferenced => format!(
            "{field} is not set; name a Secret of namespace \"{namespace}\" with the label {CREDENTIALS_LABEL}: \"true\""
        ),
        SecretState::NotFound(name) => format!(
            "{field}: secret \"{name}\" does not exist in namespace \"{namespace}\"; create it with the label \
             {CREDENTIALS_LABEL}: \"true\""
        ),
        SecretState::NotLabelled(name) => format!(
            "{field}: secret \"{name}\" does not allow its use by connections; run `kubectl label secret {name} -n \
             {namespace} {CREDENTIALS_LABEL}=true`"
        ),
    };
    Err(Blocked::because(reason, message))
}

fn require_keys(
    (name, fingerprints): FoundSecret<'_>,
    required: &[String],
    observed: &Observed,
    reason: Reason,
    hint: &str,
) -> Result<(), Blocked> {
    let missing: Vec<_> = required.iter().filter(|key| !fingerprints.contains_key(*key)).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Blocked::because(
        reason,
        format!(
            "secret \"{name}\" in namespace \"{}\" lacks a value under the key {}; add it{hint}",
            observed.namespace(),
            missing.join(", "),
        ),
    ))
}

fn requested_scopes(observed: &Observed, method: &Method) -> Vec<String> {
    let spec = &observed.connection.spec.scopes;
    if !spec.is_empty() {
        return spec.clone();
    }
    method.oauth2().map(|oauth2| oauth2.scopes.default.clone()).unwrap_or_default()
}
