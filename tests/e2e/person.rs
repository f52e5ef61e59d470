//! A person who consents, step by step, so that an attacker can do any step differently.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use liaison::api::consent_request::{ConnectionIdentity, Phase};
use liaison::api::names::{TOKEN_RECORD_KEY, token_secret};
use liaison::api::{ConsentRequest, ConsentRequestSpec};
use liaison::cluster::load_or_create_keyring;
use liaison::domain::folder::Territory;
use liaison::envelope::{RecordContext, TokenRecord};
use reqwest::Url;
use serde_json::{Value, json};

use crate::fixtures::Ground;
use crate::support::control_plane::ControlPlane;
use crate::support::identity_provider::{PASSWORD, USERNAME, WEB_CLIENT_ID, WEB_CLIENT_SECRET};
use crate::support::oidc_provider;
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::support::waiting::{SOON, eventually};
use crate::support::walker::{Page, Walker};
use crate::world::World;

/// A request for a consent, as its requester holds it.
pub(crate) struct Asked {
    pub requests: Api<ConsentRequest>,
    pub name: String,
    /// What only the requester knows.
    pub start: String,
    pub loopback_port: u16,
}

/// Asks for a consent as this client's user, as `kubectl liaison connect` does.
pub(crate) async fn ask(client: &Client, ground: &Ground, connection: &str) -> Result<Asked> {
    let uid = ground.connections().get(connection).await?.uid().context("uid")?;
    let reference = ConnectionIdentity { name: connection.to_owned(), uid };
    let start = secret()?;
    // As the command's own port: given by the system.
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let loopback_port = listener.local_addr()?.port();
    let request = ConsentRequest {
        metadata: ObjectMeta { generate_name: Some(format!("{connection}-")), ..ObjectMeta::default() },
        spec: ConsentRequestSpec {
            connection_ref: reference,
            loopback_port: Some(loopback_port.into()),
            challenge: s256(&start),
            requester: None,
            receipt: None,
        },
        status: None,
    };
    let requests: Api<ConsentRequest> = Api::namespaced(client.clone(), &ground.namespace);
    let made = requests.create(&PostParams::default(), &request).await?;
    Ok(Asked { requests, name: made.name_any(), start, loopback_port })
}

/// 256 bits, in the shape of every secret of a consent.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("randomness")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

pub(crate) fn s256(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

impl Asked {
    pub(crate) async fn now(&self) -> Result<ConsentRequest> {
        Ok(self.requests.get(&self.name).await?)
    }

    pub(crate) async fn until(&self, phase: Phase) -> Result<ConsentRequest> {
        eventually(&format!("{} is {phase:?}", self.name), SOON, async || {
            let request = self.now().await?;
            let status = request.status.clone().unwrap_or_default();
            ensure!(
                status.phase == Some(phase),
                "{:?}: {:?}: {:?}",
                status.phase,
                status.reason,
                status.message
            );
            Ok(Some(request))
        })
        .await
    }

    /// Waits for the link, with the start secret in it.
    pub(crate) async fn link(&self) -> Result<String> {
        let issued = self.until(Phase::Issued).await?;
        let url = issued.status.and_then(|status| status.url).context("url")?;
        Ok(format!("{url}?start={}", self.start))
    }

    /// Hands in a receipt as the requester.
    pub(crate) async fn hand_in(&self, receipt: &str) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": { "receipt": receipt } }));
        self.requests.patch(&self.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Hands in the receipt that a browser brings to this address, which has to be the requester's own.
    pub(crate) async fn bring(&self, address: &Url) -> Result<()> {
        ensure!(address.port() == Some(self.loopback_port), "{address} is not port {}", self.loopback_port);
        let receipt = address.query_pairs().find(|(name, _)| name == "receipt").context("receipt")?.1;
        self.hand_in(&receipt).await
    }

    /// Waits until it failed, and gives the reason.
    pub(crate) async fn failure(&self) -> Result<String> {
        let failed = self.until(Phase::Failed).await?;
        failed.status.and_then(|status| status.reason).context("a failure has a reason")
    }
}

/// Opens the link and goes as far as the provider's page.
pub(crate) async fn leave(walker: &mut Walker, link: &str) -> Result<Page> {
    let start = walker.open(link).await?;
    walker.submit(&start, &[]).await
}

/// Signs in and consents at a provider's page, and stops at the first address of ours.
pub(crate) async fn sign_in(walker: &mut Walker, page: Page, public_url: &str) -> Result<Url> {
    sign_in_as(walker, page, public_url, "ada").await
}

/// The same under this name, where the provider knows whoever comes.
pub(crate) async fn sign_in_as(
    walker: &mut Walker,
    mut page: Page,
    public_url: &str,
    login: &str,
) -> Result<Url> {
    for _ in 0..8 {
        let form = page.form(&[])?.1;
        let has = |name: &str| form.iter().any(|(known, _)| known == name);
        let fields: &[(&str, &str)] = if has("username") {
            &[("username", USERNAME), ("password", PASSWORD)]
        } else if has("login") {
            &[("login", login), ("password", "any")]
        } else {
            &[]
        };
        let (url, form) = page.form(fields)?;
        let mut next = walker.once(reqwest::Method::POST, &url, Some(&form)).await?;
        loop {
            let Some(target) = next.leads_to()? else { break };
            if target.as_str().starts_with(public_url) {
                return Ok(target);
            }
            next = walker.once(reqwest::Method::GET, &target, None).await?;
        }
        page = next;
    }
    anyhow::bail!("the provider does not send the person back: {}", page.text())
}

/// The way back from the provider; gives the receipt.
pub(crate) async fn come_back(walker: &mut Walker, callback: &Url) -> Result<String> {
    let target = loopback(walker, callback).await?;
    let receipt = target.query_pairs().find(|(name, _)| name == "receipt");
    Ok(receipt.context("receipt")?.1.into_owned())
}

/// The way back from the provider, up to where the browser is sent with its receipt.
pub(crate) async fn loopback(walker: &mut Walker, callback: &Url) -> Result<Url> {
    let page = walker.once(reqwest::Method::GET, callback, None).await?;
    let target = page.leads_to()?.with_context(|| format!("no way on: {}", page.text()))?;
    ensure!(target.host_str() == Some("127.0.0.1"), "the receipt goes to this machine, not to {target}");
    Ok(target)
}

/// The whole consent of a person who does everything right.
pub(crate) async fn consent(ground: &Ground, connection: &str, public_url: &str) -> Result<Asked> {
    consent_as(ground, connection, public_url, "ada").await
}

/// The same under this name, where the provider knows whoever comes.
pub(crate) async fn consent_as(
    ground: &Ground,
    connection: &str,
    public_url: &str,
    login: &str,
) -> Result<Asked> {
    let asked = hand_over(ground, connection, public_url, login).await?;
    asked.until(Phase::Succeeded).await?;
    Ok(asked)
}

/// A person's part of a consent, up to the receipt; what becomes of it is for the test to see.
pub(crate) async fn hand_over(
    ground: &Ground,
    connection: &str,
    public_url: &str,
    login: &str,
) -> Result<Asked> {
    let asked = ask(&ground.client, ground, connection).await?;
    let mut walker = Walker::new();
    let page = leave(&mut walker, &asked.link().await?).await?;
    let callback = sign_in_as(&mut walker, page, public_url, login).await?;
    asked.bring(&loopback(&mut walker, &callback).await?).await?;
    Ok(asked)
}

/// What who has stolen both etcd and the keyring holds of a Connection.
pub(crate) async fn stolen_record(ground: &Ground, connection: &str) -> Result<TokenRecord> {
    let connection = ground.connections().get(connection).await?;
    let uid = connection.uid().context("uid")?;
    let secret = ground.secrets().get(&token_secret(&uid)).await?;
    let sealed = secret.data.context("data")?.remove(TOKEN_RECORD_KEY).context("record")?;
    let everywhere = Territory { operator_namespace: OPERATOR_NAMESPACE.to_owned(), namespaces: None };
    let keyring = load_or_create_keyring(&ground.client, &everywhere).await?;
    let owner = RecordContext { namespace: &ground.namespace, name: &connection.name_any(), uid: &uid };
    Ok(keyring.open(owner, &sealed.0)?.record)
}

/// A connector for people at Zitadel.
pub(crate) fn zitadel_connector(world: &World) -> Value {
    let at = |path: &str| world.zitadel.endpoint(path);
    json!({
        "displayName": "Zitadel",
        "baseURL": at("api"),
        "authMethods": [{
            "type": "OAuth2AuthorizationCode",
            "oauth2": {
                "issuer": world.zitadel.issuer(), "iss": "IfPresent",
                "authorizeURL": at("auth"), "tokenURL": at("oauth/token"), "revokeURL": at("revoke"),
                "scopes": { "default": ["openid", "profile", "email", "offline_access"] },
            },
        }],
        "account": { "url": at("userinfo"), "idPath": "/sub", "namePath": "/email" },
    })
}

/// A connector for people at the certified provider.
pub(crate) fn oidc_connector_for_people(world: &World) -> Value {
    let at = |path: &str| world.oidc.endpoint(path);
    json!({
        "displayName": "Certified",
        "authMethods": [{
            "type": "OAuth2AuthorizationCode",
            "oauth2": {
                "issuer": world.oidc.issuer(), "iss": "Required",
                "authorizeURL": at("auth"), "tokenURL": at("token"), "revokeURL": at("token/revocation"),
                // It gives no refresh token to who was not asked.
                "authorizeParameters": { "prompt": "consent" },
                "scopes": { "default": ["openid", "offline_access"] },
            },
        }],
        "account": { "idTokenClaim": "sub" },
    })
}

/// Credentials of the client for people.
pub(crate) fn zitadel_app() -> [(&'static str, &'static str); 2] {
    [("clientId", WEB_CLIENT_ID), ("clientSecret", WEB_CLIENT_SECRET)]
}

/// The same at the certified provider.
pub(crate) fn oidc_app() -> [(&'static str, &'static str); 2] {
    [("clientId", oidc_provider::WEB_CLIENT_ID), ("clientSecret", oidc_provider::CLIENT_SECRET)]
}

/// The spec of a Connection with the folder's own app.
pub(crate) fn with_own_app(connector: &str) -> Value {
    json!({
        "connectorRef": { "name": connector }, "authType": "OAuth2BringYourOwnApp",
        "oauthApp": { "secretRef": { "name": "app" } },
    })
}

/// A user with these rights in the ground's namespace.
pub(crate) async fn user(
    control_plane: &ControlPlane,
    ground: &Ground,
    name: &str,
    role: &str,
) -> Result<Client> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": name }, "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }],
    });
    ground.apply(&binding).await?;
    control_plane.client_as(name, &[]).await
}
