//! What was agreed to is edited while the person is away.

use anyhow::{Result, ensure};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use liaison::api::Connection;
use liaison::api::consent_request::Phase;
use reqwest::Method;
use serde_json::{Value, json};

use super::{CRM, Scene, certified, follow, refused, tag};
use crate::person::{Asked, ask, come_back, oidc_app};
use crate::support::strict_provider::StrictProvider;
use crate::support::waiting::{SOON, eventually};
use crate::support::walker::Walker;
use crate::world::World;

/// When somebody edits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// The person is at the provider.
    Started,
    /// The browser is back, the receipt is not.
    Returned,
}

/// What somebody edits.
#[derive(Clone, Copy, Debug)]
enum Edit {
    /// The token endpoint of the application.
    TokenEndpoint,
    /// Something harmless of the application.
    ConnectorText,
    /// Something harmless of the Connection, by Eve, who may.
    ConnectionText,
    /// What is asked for.
    Scopes,
    /// The OAuth client.
    Client,
    /// The Connection goes, and another one comes in its place.
    MadeAnew,
}

struct Editing {
    scene: Scene,
    hostile: StrictProvider,
    eve: Client,
}

impl Editing {
    async fn edit(&self, edit: Edit) -> Result<()> {
        let ground = &self.scene.ground;
        let folder = &ground.namespace;
        match edit {
            Edit::TokenEndpoint => {
                let mut spec = certified(folder);
                spec["authMethods"][0]["oauth2"]["tokenURL"] = self.hostile.endpoint("/token").into();
                ground.connector(&self.scene.connector, spec).await
            }
            Edit::ConnectorText => {
                let mut spec = certified(folder);
                spec["displayName"] = "Another name".into();
                ground.connector(&self.scene.connector, spec).await
            }
            Edit::ConnectionText => self.merge(json!({ "displayName": "Another name" })).await,
            Edit::Scopes => self.merge(json!({ "scopes": ["openid"] })).await,
            Edit::Client => ground.secret("app", &[("clientId", "eves"), ("clientSecret", "eves")]).await,
            Edit::MadeAnew => {
                ground.connections().delete(CRM, &DeleteParams::default()).await?;
                eventually("the Connection is gone", SOON, async || {
                    Ok(ground.connections().get_opt(CRM).await?.is_none().then_some(()))
                })
                .await?;
                self.scene.connection(CRM, &self.scene.connector).await
            }
        }
    }

    async fn merge(&self, spec: Value) -> Result<()> {
        let connections: Api<Connection> = Api::namespaced(self.eve.clone(), &self.scene.ground.namespace);
        let patch = Patch::Merge(json!({ "spec": spec }));
        connections.patch(CRM, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// As it was before.
    async fn mend(&self) -> Result<()> {
        let ground = &self.scene.ground;
        ground.connector(&self.scene.connector, certified(&ground.namespace)).await?;
        ground.secret("app", &oidc_app()).await?;
        self.merge(json!({ "displayName": null, "scopes": null })).await
    }
}

/// Ada consents, and somebody edits meanwhile; how her request ends.
async fn consent_amid(editing: &Editing, ada: &Client, edit: Edit, moment: Moment) -> Result<Asked> {
    let asked = ask(ada, &editing.scene.ground, CRM).await?;
    let mut walker = Walker::new();
    let callback = follow(&mut walker, &asked.link().await?).await?;
    if moment == Moment::Started {
        editing.edit(edit).await?;
    }
    let receipt = come_back(&mut walker, &callback).await?;
    asked.until(Phase::Returned).await?;
    if moment == Moment::Returned {
        editing.edit(edit).await?;
    }
    asked.hand_in(&receipt).await?;
    Ok(asked)
}

async fn nothing_is_done_for_what_nobody_agreed_to(folder: &str, moment: Moment) -> Result<()> {
    let scene = Scene::new(folder).await?;
    let (ada, eve) = (scene.person("ada").await?, scene.person("eve").await?);
    let editing = Editing { scene, hostile: World::shared().provider()?, eve };
    for edit in [
        Edit::TokenEndpoint,
        Edit::ConnectorText,
        Edit::ConnectionText,
        Edit::Scopes,
        Edit::Client,
        Edit::MadeAnew,
    ] {
        let asked = consent_amid(&editing, &ada, edit, moment).await?;
        ensure!(asked.failure().await? == "ConsentOutdated", "{edit:?}");
        editing.mend().await?;
    }
    editing.scene.nothing_came_of_it(&[&editing.hostile]).await
}

#[tokio::test]
async fn an_edit_while_the_person_is_away_makes_their_consent_worthless() -> Result<()> {
    nothing_is_done_for_what_nobody_agreed_to("attack-edit-away", Moment::Started).await
}

#[tokio::test]
async fn an_edit_after_the_person_is_back_makes_their_consent_worthless() -> Result<()> {
    nothing_is_done_for_what_nobody_agreed_to("attack-edit-back", Moment::Returned).await
}

#[tokio::test]
async fn a_right_that_is_taken_away_meanwhile_is_missed() -> Result<()> {
    let scene = Scene::new("attack-right").await?;
    let ada = scene.person("ada").await?;
    let asked = ask(&ada, &scene.ground, CRM).await?;
    let mut walker = Walker::new();
    let callback = follow(&mut walker, &asked.link().await?).await?;
    let receipt = come_back(&mut walker, &callback).await?;
    // Ada keeps what is needed to bring the receipt, and may not authenticate any more.
    let rule = json!([{ "apiGroups": ["liaison.dev"], "resources": ["consentrequests"], "verbs": ["get", "patch"] }]);
    scene
        .ground
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "brings" },
            "rules": rule,
        }))
        .await?;
    let name = format!("ada-of-{}", scene.ground.namespace);
    scene
        .ground
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "brings" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "brings" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }],
        }))
        .await?;
    let bindings: Api<RoleBinding> = Api::namespaced(scene.ground.client.clone(), &scene.ground.namespace);
    bindings.delete(&name, &DeleteParams::default()).await?;
    let connections: Api<Connection> = Api::namespaced(ada.clone(), &scene.ground.namespace);
    eventually("the API server knows that the right is gone", SOON, async || {
        Ok(connections.get(CRM).await.is_err().then_some(()))
    })
    .await?;
    eventually("the receipt is brought", SOON, async || Ok(asked.hand_in(&receipt).await.ok())).await?;
    ensure!(asked.failure().await? == "AuthenticateForbidden");
    refused(ask(&ada, &scene.ground, CRM).await.map(drop), "forbidden")?;
    scene.nothing_came_of_it(&[]).await
}

#[tokio::test]
async fn a_link_of_a_connection_that_is_gone_leads_nowhere() -> Result<()> {
    let scene = Scene::new("attack-gone").await?;
    let ada = scene.person("ada").await?;
    let asked = ask(&ada, &scene.ground, CRM).await?;
    let link = asked.link().await?;
    scene.ground.connections().delete(CRM, &DeleteParams::default()).await?;
    eventually("the Connection is gone", SOON, async || {
        Ok(scene.ground.connections().get_opt(CRM).await?.is_none().then_some(()))
    })
    .await?;
    scene.connection(CRM, &scene.connector).await?;
    let mut walker = Walker::new();
    let url = link.parse()?;
    let form = [("start".to_owned(), asked.start.clone())];
    for (method, form) in [(Method::GET, None), (Method::POST, Some(&form[..]))] {
        let page = walker.once(method, &url, form).await?;
        ensure!(page.status == 409 && page.leads_to()?.is_none(), "{}", page.status);
    }
    ensure!(walker.cookies.values().all(std::collections::BTreeMap::is_empty), "no session");
    ensure!(World::shared().oidc.requests_with("GET", "auth", &tag("attack-gone"))? == 0);
    scene.nothing_came_of_it(&[]).await
}
