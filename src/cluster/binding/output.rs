//! The Secret that a binding fills. It is written whole, by one request, and only if it is the binding's own.

use std::collections::BTreeMap;
use std::time::Instant;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PartialObjectMeta, Patch, PatchParams, PostParams};
use kube::core::Status;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use zeroize::Zeroize;

use crate::api::ProcessBinding;
use crate::api::names::{
    BINDING_LABEL, CONNECTION_HASH_ANNOTATION, CREDENTIAL_EXPIRES_AT_ANNOTATION, FILLED_FROM_ANNOTATION,
};
use crate::cluster::{Context, Error};
use crate::domain::binding::{Content, OwnSecret, SecretState, keys};
use crate::envelope::secret_value;
use crate::ports::Credential;

use super::FIELD_MANAGER;

type Metadata = PartialObjectMeta<Secret>;

/// What an access token is, where nothing else is said (RFC 6750).
const BEARER: &str = "Bearer";

/// Secrets as they were seen: what a write has to find unchanged.
pub(super) struct Seen {
    /// The one of `spec.secretName`, whoever's it is.
    pub(super) wanted: Option<Metadata>,
    /// One that the binding made under another name.
    pub(super) outdated: Option<Metadata>,
}

/// What became of a write.
pub(super) enum Write {
    Done(OwnSecret),
    /// Somebody has changed, made or deleted the Secret since it was seen.
    Superseded,
    /// The Secret is marked immutable.
    Immutable,
    /// The API server refuses: why.
    Refused(String),
}

impl Seen {
    pub(super) fn state(&self, binding: &ProcessBinding) -> SecretState {
        match (&binding.spec.secret_name, &self.wanted) {
            (None, _) => SecretState::NotWanted,
            (Some(_), None) => SecretState::None,
            (Some(_), Some(secret)) if is_own(secret, binding) => SecretState::Own(own(secret)),
            (Some(_), Some(_)) => SecretState::Foreign,
        }
    }

    pub(super) fn outdated(&self) -> Option<OwnSecret> {
        self.outdated.as_ref().map(own)
    }
}

/// Whether a Secret was made by this very binding: one of its name that was deleted is another one.
fn is_own(secret: &Metadata, binding: &ProcessBinding) -> bool {
    let uid = binding.metadata.uid.as_deref().unwrap_or_default();
    let owned =
        secret.owner_references().iter().any(|owner| owner.uid == uid && owner.controller == Some(true));
    owned && secret.labels().get(BINDING_LABEL).is_some_and(|label| label == uid)
}

fn own(secret: &Metadata) -> OwnSecret {
    let annotation = |key: &str| secret.annotations().get(key).cloned();
    OwnSecret {
        name: secret.name_any(),
        filled_from: annotation(FILLED_FROM_ANNOTATION).unwrap_or_default(),
        expires_at: annotation(CREDENTIAL_EXPIRES_AT_ANNOTATION).and_then(|time| time.parse().ok()),
    }
}

/// Looks for the Secrets of a binding. The watch is trusted for those that bear the label; what else has the name is
/// looked up.
pub(super) async fn observe(context: &Context, binding: &ProcessBinding) -> Result<Seen, Error> {
    let namespace = binding.namespace().unwrap_or_default();
    let shared = &context.binding;
    let wanted = match &binding.spec.secret_name {
        None => None,
        Some(name) => {
            if let Some(shown) = shared.outputs.get(&ObjectRef::new(name).within(&namespace)) {
                Some(shared.written_outputs.apply(&shown))
            } else {
                let found = context.secrets.api(&namespace).get_metadata_opt(name).await;
                found.map_err(Error::api("look up the binding's Secret"))?
            }
        }
    };
    let outputs = shared.outputs.state();
    let outdated = outputs.iter().find(|secret| {
        secret.metadata.namespace.as_deref() == Some(&namespace)
            && secret.metadata.name != binding.spec.secret_name
            && is_own(secret, binding)
    });
    Ok(Seen { wanted, outdated: outdated.map(|secret| shared.written_outputs.apply(secret)) })
}

/// Writes the Secret as it should be, if it is still the one that was seen.
pub(super) async fn write(
    context: &Context,
    binding: &ProcessBinding,
    seen: &mut Seen,
    wanted: &Content,
    credential: Credential,
) -> Result<Write, Error> {
    let api = context.secrets.api(&binding.namespace().unwrap_or_default());
    let mut data = data(wanted, credential);
    let written = match &seen.wanted {
        Some(secret) => replace(&api, secret, wanted, &data).await,
        None => create(&api, binding, wanted, &data).await,
    };
    for value in data.values_mut() {
        value.0.zeroize();
    }
    match written {
        Ok(metadata) => {
            let written = Metadata { types: None, metadata, ..Metadata::default() };
            let own = own(&written);
            if let Some(before) = &seen.wanted {
                context.binding.written_outputs.note(before, written.clone(), Instant::now());
            }
            seen.wanted = Some(written);
            Ok(Write::Done(own))
        }
        Err(kube::Error::Api(status))
            if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
        {
            Ok(Write::Superseded)
        }
        Err(kube::Error::Api(status)) if is_immutable(&status) => Ok(Write::Immutable),
        // Quota, admission: what a person has to mend.
        Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_invalid() => {
            Ok(Write::Refused(status.message.clone()))
        }
        Err(error) => Err(Error::api("write the binding's Secret")(error)),
    }
}

/// Whether a write was refused because the Secret's data is immutable.
fn is_immutable(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.field == "data" && cause.reason == "FieldValueForbidden")
}

async fn create(
    api: &Api<Secret>,
    binding: &ProcessBinding,
    wanted: &Content,
    data: &BTreeMap<String, ByteString>,
) -> kube::Result<ObjectMeta> {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(wanted.name.clone()),
            namespace: binding.namespace(),
            labels: Some([(BINDING_LABEL.to_owned(), binding.uid().unwrap_or_default())].into()),
            annotations: Some(annotations(&BTreeMap::new(), wanted)),
            owner_references: binding.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(wanted.secret_type.clone()),
        data: Some(data.clone()),
        ..Secret::default()
    };
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    Ok(api.create(&parameters, &secret).await?.metadata)
}

/// A JSON patch (RFC 6902) that holds uid and resourceVersion: all of the data goes or comes at once, whoever wrote what
/// was there, and labels and annotations of others stay.
async fn replace(
    api: &Api<Secret>,
    secret: &Metadata,
    wanted: &Content,
    data: &BTreeMap<String, ByteString>,
) -> kube::Result<ObjectMeta> {
    let patch = json!([
        { "op": "add", "path": "/metadata/uid", "value": secret.metadata.uid },
        { "op": "add", "path": "/metadata/resourceVersion", "value": secret.metadata.resource_version },
        { "op": "add", "path": "/metadata/annotations", "value": annotations(secret.annotations(), wanted) },
        { "op": "add", "path": "/data", "value": data },
    ]);
    let patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    Ok(api.patch_metadata(&wanted.name, &parameters, &Patch::Json::<()>(patch)).await?.metadata)
}

fn annotations(present: &BTreeMap<String, String>, wanted: &Content) -> BTreeMap<String, String> {
    let expires_at = wanted.expires_at.map(|time| time.to_string());
    let ours = [
        (FILLED_FROM_ANNOTATION, Some(wanted.filled_from.clone())),
        (CREDENTIAL_EXPIRES_AT_ANNOTATION, expires_at),
        (CONNECTION_HASH_ANNOTATION, wanted.hash.clone()),
    ];
    let mut all = present.clone();
    for (key, value) in ours {
        match value {
            Some(value) => all.insert(key.to_owned(), value),
            None => all.remove(key),
        };
    }
    all
}

/// Everything that is in the Secret. `type` and `provider` are the specification's, whatever a credential's parts are
/// called.
fn data(wanted: &Content, credential: Credential) -> BTreeMap<String, ByteString> {
    let mut data = match credential {
        Credential::Nothing => BTreeMap::new(),
        Credential::Static(values) => {
            values.iter().map(|(key, value)| (key.clone(), secret_value(value))).collect()
        }
        Credential::Token { access_token, expires_at: _, granted_scopes: _ } => BTreeMap::from([
            (keys::ACCESS_TOKEN.to_owned(), secret_value(&access_token)),
            (keys::TOKEN_TYPE.to_owned(), ByteString(BEARER.into())),
        ]),
    };
    let expires_at = wanted.expires_at.map(|time| (keys::EXPIRES_AT.to_owned(), time.to_string()));
    for (key, value) in wanted.plain.clone().into_iter().chain(expires_at) {
        let own = [keys::TYPE, keys::PROVIDER].contains(&key.as_str());
        if own || !data.contains_key(&key) {
            data.insert(key, ByteString(value.into_bytes()));
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ProcessBindingSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use secrecy::SecretString;

    fn content(plain: &[(&str, &str)]) -> Content {
        Content {
            name: "orders-slack".to_owned(),
            secret_type: "servicebinding.io/slack".to_owned(),
            plain: plain.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            credential: None,
            filled_from: "uid/digest".to_owned(),
            expires_at: "2026-01-01T00:00:00Z".parse().ok(),
            hash: Some("hash".to_owned()),
        }
    }

    fn texts(data: BTreeMap<String, ByteString>) -> Vec<(String, String)> {
        data.into_iter().map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_token_stands_beside_what_is_known_of_its_connection() {
        let credential = Credential::Token {
            access_token: SecretString::from("issued"),
            expires_at: None,
            granted_scopes: Vec::new(),
        };
        let data =
            data(&content(&[("type", "slack"), ("provider", "liaison"), ("account", "acme")]), credential);
        assert_eq!(
            texts(data),
            owned(&[
                ("access-token", "issued"),
                ("account", "acme"),
                ("expires-at", "2026-01-01T00:00:00Z"),
                ("provider", "liaison"),
                ("token-type", "Bearer"),
                ("type", "slack"),
            ])
        );
    }

    #[test]
    fn parts_of_a_static_credential_keep_their_names_but_for_those_of_the_specification() {
        let values = [("apiKey", "k"), ("account", "a"), ("type", "t")];
        let values = values.map(|(key, value)| (key.to_owned(), SecretString::from(value))).into();
        let mut content = content(&[("type", "slack"), ("provider", "liaison"), ("account", "acme")]);
        content.expires_at = None;
        assert_eq!(
            texts(data(&content, Credential::Static(values))),
            owned(&[("account", "a"), ("apiKey", "k"), ("provider", "liaison"), ("type", "slack")])
        );
    }

    #[test]
    fn annotations_of_others_stay_and_ours_go_with_the_credential() {
        let present = [("example.org/note".to_owned(), "kept".to_owned())].into();
        let filled = annotations(&present, &content(&[]));
        assert_eq!(filled[FILLED_FROM_ANNOTATION], "uid/digest");
        let emptied =
            Content { filled_from: "nothing".to_owned(), expires_at: None, hash: None, ..content(&[]) };
        let left = annotations(&filled, &emptied);
        assert_eq!(
            left.into_iter().collect::<Vec<_>>(),
            owned(&[("example.org/note", "kept"), (FILLED_FROM_ANNOTATION, "nothing")])
        );
    }

    #[test]
    fn only_what_this_very_binding_made_is_its_own() {
        let mut binding = ProcessBinding::new("orders", ProcessBindingSpec::default());
        binding.metadata.uid = Some("uid".to_owned());
        binding.spec.secret_name = Some("s".to_owned());
        let secret = |label: &str, owner: &str, controller: bool| {
            let owner = OwnerReference {
                uid: owner.to_owned(),
                controller: Some(controller),
                ..OwnerReference::default()
            };
            let metadata = ObjectMeta {
                name: Some("s".to_owned()),
                labels: Some([(BINDING_LABEL.to_owned(), label.to_owned())].into()),
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            };
            Seen { wanted: Some(Metadata { metadata, ..Metadata::default() }), outdated: None }
                .state(&binding)
        };
        assert!(matches!(secret("uid", "uid", true), SecretState::Own(_)));
        assert_eq!(secret("other", "uid", true), SecretState::Foreign);
        assert_eq!(secret("uid", "other", true), SecretState::Foreign);
        assert_eq!(secret("uid", "uid", false), SecretState::Foreign);
    }
}
