//! The ConsentRequest that the command makes with its user's own rights, and how it goes on.

use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;

use crate::api::consent_request::{ConnectionIdentity, Phase};
use crate::api::{Connection, ConsentRequest, ConsentRequestSpec};
use crate::envelope::s256;

/// Longest part of a Connection's name in the request's; the API server adds five characters.
const NAME_LIMIT: usize = 50;

/// Who knows it can open the link. It never leaves this machine but in the browser's own request.
pub(super) struct StartSecret(String);

impl StartSecret {
    /// 256 bits that nobody can guess.
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut bytes = [0_u8; 32];
        rand::fill(&mut bytes).ok().context("the system gave no randomness")?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The link as it is to be opened.
    pub(super) fn link(&self, url: &str) -> String {
        format!("{url}?start={}", self.0)
    }
}

/// Makes the request.
pub(super) async fn create(
    requests: &Api<ConsentRequest>,
    connection: &Connection,
    secret: &StartSecret,
    loopback_port: Option<u16>,
) -> anyhow::Result<ConsentRequest> {
    let name = connection.metadata.name.clone().unwrap_or_default();
    let mut prefix: String = name.chars().take(NAME_LIMIT).collect();
    prefix.push('-');
    let request = ConsentRequest {
        metadata: ObjectMeta { generate_name: Some(prefix), ..ObjectMeta::default() },
        spec: ConsentRequestSpec {
            connection_ref: ConnectionIdentity {
                name: name.clone(),
                uid: connection.metadata.uid.clone().unwrap_or_default(),
            },
            loopback_port: loopback_port.map(i32::from),
            challenge: s256(&secret.0),
            requester: None,
            receipt: None,
        },
        status: None,
    };
    let made = requests.create(&PostParams::default(), &request).await;
    made.with_context(|| format!("ask for a consent for \"{name}\""))
}

/// Waits until the link is there, or until there will be none.
pub(super) async fn issued(
    requests: &Api<ConsentRequest>,
    name: &str,
    limit: Duration,
) -> anyhow::Result<ConsentRequest> {
    let issued = |request: Option<&ConsentRequest>| phase(request).is_some();
    let waited = tokio::time::timeout(limit, await_condition(requests.clone(), name, issued)).await;
    let request = waited.with_context(|| {
        format!(
            "the operator has not looked at the request within {} s; is it running? See `kubectl get pods -A -l \
             app.kubernetes.io/name=liaison`",
            limit.as_secs()
        )
    })??;
    request.context("the request is gone")
}

/// Waits until nothing more will happen.
pub(super) async fn ended(requests: &Api<ConsentRequest>, name: &str) -> anyhow::Result<ConsentRequest> {
    let ended =
        |request: Option<&ConsentRequest>| request.is_none() || phase(request).is_some_and(Phase::is_final);
    await_condition(requests.clone(), name, ended).await?.context("the request was deleted")
}

fn phase(request: Option<&ConsentRequest>) -> Option<Phase> {
    request.and_then(|request| request.status.as_ref()).and_then(|status| status.phase)
}

/// Whether a request is in this phase.
pub(super) async fn is_in(requests: &Api<ConsentRequest>, name: &str, wanted: Phase) -> bool {
    requests.get_opt(name).await.is_ok_and(|request| phase(request.as_ref()) == Some(wanted))
}

/// Hands in what the browser brought.
pub(super) async fn hand_in(requests: &Api<ConsentRequest>, name: &str, receipt: &str) -> kube::Result<()> {
    let patch = Patch::Merge(json!({ "spec": { "receipt": receipt } }));
    requests.patch(name, &PatchParams::default(), &patch).await.map(|_| ())
}

/// Takes a request back that nobody waits for any longer.
pub(super) async fn withdraw(requests: &Api<ConsentRequest>, name: &str) {
    if let Err(error) = requests.delete(name, &DeleteParams::default()).await {
        // It ends by itself, and is gone some minutes later.
        tracing::debug!(%error, "the request could not be withdrawn");
    }
}
