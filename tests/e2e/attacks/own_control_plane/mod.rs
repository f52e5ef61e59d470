//! Attacks for which there are servers of their own: two replicas, a site that is asked a lot, and admission that is
//! taken away.

mod replicas;
mod site;
mod stamps;
mod web;

use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use kube::api::ListParams;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::{CRM, nothing_is_stored, prepare};
use crate::fixtures::Ground;
use crate::person::{oidc_app, with_own_app};
use crate::support::control_plane::{ControlPlane, Options};
use crate::support::installation::AdmissionPort;
use crate::support::oidc_provider::OidcProvider;
use crate::support::operator::Operator;
use crate::support::run_directory::RunDirectory;
use crate::support::waiting::blocking;
use crate::world::OperatorSettings;

/// The one connector; the provider knows its redirect address.
const CONNECTOR: &str = "people";

/// A control plane with admission, two operators behind one public address, and the certified provider.
struct Installation {
    control_plane: ControlPlane,
    oidc: OidcProvider,
    leader: OperatorSettings,
    follower: OperatorSettings,
    _operators: [Operator; 2],
}

impl Installation {
    /// The one of tests that leave admission as it is.
    fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Installation, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            blocking(async || Self::start("attacks").await).map_err(|error| format!("{error:#}"))
        });
        shared.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    async fn start(name: &str) -> Result<Self> {
        let control_plane = ControlPlane::start(RunDirectory::take(name)?, &Options::with_crds()).await?;
        let settings =
            OperatorSettings { admission: Some(AdmissionPort::take()?), ..OperatorSettings::new("leader")? };
        let redirect_uri = format!("{}/callback/{CONNECTOR}", settings.public_url());
        let directory = control_plane.directory();
        let oidc = OidcProvider::start_for_people(directory, 600, &[&redirect_uri]).await?;
        let leader = OperatorSettings { exceptions: vec![oidc.authority()], ..settings };
        let first = leader.start(&control_plane).await?;
        let follower = OperatorSettings {
            exceptions: leader.exceptions.clone(),
            replica_of: Some(leader.public_port),
            ..OperatorSettings::new("follower")?
        };
        let second = follower.start(&control_plane).await?;
        prepare(&control_plane).await?;
        Ok(Self { control_plane, oidc, leader, follower, _operators: [first, second] })
    }

    /// A folder with a Connection that waits for a person.
    async fn ground(&self, folder: &str) -> Result<Ground> {
        let ground = Ground::new(self.control_plane.client().await?, folder).await?;
        ground.connector(CONNECTOR, self.connector()).await?;
        ground.secret("app", &oidc_app()).await?;
        ground.connection(CRM, with_own_app(CONNECTOR)).await?;
        ground.until(CRM, ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
        Ok(ground)
    }

    fn connector(&self) -> Value {
        json!({
            "displayName": "People",
            "authMethods": [{
                "type": "OAuth2AuthorizationCode",
                "oauth2": {
                    "issuer": self.oidc.issuer(), "iss": "Required",
                    "authorizeURL": self.oidc.endpoint("auth"), "tokenURL": self.oidc.endpoint("token"),
                    "scopes": { "default": ["openid"] },
                },
            }],
        })
    }

    /// The provider was not asked for a token, none is stored, and nothing is authenticated, in any folder.
    async fn nothing_came_of_it(&self, ground: &Ground) -> Result<()> {
        let asked = self.oidc.requests("POST", "token")?;
        ensure!(asked == 0, "the provider was asked for a token {asked} times");
        nothing_is_stored(ground).await?;
        let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> = kube::Api::all(ground.client.clone());
        let records = secrets.list(&ListParams::default().labels("liaison.dev/token-of")).await?;
        ensure!(records.items.is_empty(), "a token is stored");
        Ok(())
    }
}

/// The one request of a folder, as it is in the API server.
async fn phase_of(asked: &crate::person::Asked) -> Result<liaison::api::consent_request::Phase> {
    asked.now().await?.status.and_then(|status| status.phase).context("a phase")
}
