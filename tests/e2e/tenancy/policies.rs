//! What policies do not allow, and the organisation's own OAuth client, which goes to its own hosts alone.

mod disguises;

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use kube::api::DeleteParams;
use liaison::domain::conditions::{self, ConditionType};
use serde_json::{Value, json};

use super::Family;
use super::attempt::{Attempt, Deed, attempt, forbidden, is_refused, refused, says};
use super::people::{mallory, namespace_user, paula, rules, with_rules_everywhere};
use super::stage::{ORGANISATION, Stage, connection, connector, with};
use crate::fixtures::{Ground, HEALS, client_credentials_connector, token_connector};
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::support::waiting::eventually;

const COMPANY: &str = "tenancy-company";
const APP: &str = "tenancy-org-app";
/// Where the connector leads whose app is lent to people alone.
const PEOPLE: &str = "/people";
const TOKEN_URL: &str = "/authMethods/0/oauth2/tokenURL";

fn policy(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "liaison.dev/v1alpha1", "kind": "ConnectionPolicy", "metadata": { "name": name }, "spec": spec })
}

/// A department below blue, which the company's policy is for, and Eve in it.
struct Department {
    ground: Ground,
    eve: Client,
    mallory: Client,
    /// The hostile provider under another name of its host than the honest one's.
    hostile: String,
}

impl Department {
    async fn new(stage: &Stage) -> Result<Self> {
        let (administrator, blue) = (&stage.blue.client, &stage.blue.namespace);
        let name = format!("{blue}-department");
        let folder = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": name },
            "spec": { "displayName": name, "type": "Shared", "parentRef": { "name": blue } },
        });
        Deed::create(administrator, &folder).perform().await?;
        let ground = Ground { client: administrator.clone(), namespace: name };
        eventually("the department has its namespace", HEALS, async || {
            Ok(ground.secret("app", &[("clientId", "eve"), ("clientSecret", "eves")]).await.ok())
        })
        .await?;
        let eve = namespace_user(&ground, "eve", &["edit"]).await?;
        let mallory = mallory(&stage.blue).await?;
        let hostile = stage.hostile.authority().replace("localhost", "127.0.0.1");
        let this = Self { ground, eve, mallory, hostile };
        this.furnish(stage).await?;
        Ok(this)
    }

    async fn furnish(&self, stage: &Stage) -> Result<()> {
        let ground = &self.ground;
        let honest = |path: &str| stage.honest.endpoint(path);
        let app = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": APP, "namespace": OPERATOR_NAMESPACE, "labels": { "liaison.dev/credentials": "true" },
            },
            "stringData": { "clientId": "org", "clientSecret": format!("{ORGANISATION}-secret") },
        });
        Deed::create(&ground.client, &app).perform().await?;
        ground.connector(&stage.connector("org"), client_credentials_connector(&honest)).await?;
        ground.connector(&stage.connector("denied"), token_connector(&honest)).await?;
        let mut site = client_credentials_connector(&|path| format!("http://{{host}}{path}"));
        site["redirect"] = "PerConnection".into();
        site["parameters"] = json!([{ "name": "host", "required": true, "pattern": ".*" }]);
        ground.connector(&stage.connector("site"), site).await?;
        let mut people =
            client_credentials_connector(&|path| stage.honest.endpoint(&format!("{PEOPLE}{path}")));
        let client = people["authMethods"][0]["oauth2"]["tokenURL"].clone();
        let person = json!({
            "type": "OAuth2AuthorizationCode",
            "oauth2": { "authorizeURL": stage.honest.endpoint(&format!("{PEOPLE}/authorize")), "tokenURL": client },
        });
        people["authMethods"].as_array_mut().context("authMethods")?.push(person);
        people["redirect"] = "PerConnection".into();
        ground.connector(&stage.connector("people"), people).await?;
        let lookalike = client_credentials_connector(&|path| format!("http://{}{path}", self.hostile));
        ground.connector(&stage.connector("lookalike"), lookalike).await?;
        Deed::create(&ground.client, &policy(COMPANY, &Self::rules(stage))).perform().await?;
        ground.connection("lent", Self::lent(stage, "org")).await?;
        ground.until_ready("lent").await?;
        Ok(())
    }

    fn rules(stage: &Stage) -> Value {
        let lent = |kind: &str, parameters: Value| {
            json!({
                "connector": stage.connector(kind), "oauthApp": { "secretRef": { "name": APP } },
                "authTypes": ["OAuth2ClientCredentials"], "allowedHosts": [stage.honest.authority()],
                "parameters": parameters,
            })
        };
        let mut for_people = lent("people", json!({}));
        for_people.as_object_mut().into_iter().for_each(|entry| {
            entry.remove("authTypes");
        });
        json!({
            "folders": { "names": [stage.blue.namespace], "subtree": true },
            "connectors": { "deny": [stage.connector("denied")] }, "authTypes": { "deny": ["APIKey"] },
            "passwordGrant": "Denied", "enforcement": "Suspend",
            "defaults": [
                lent("org", json!({})), lent("site", json!({ "host": stage.honest.authority() })), for_people,
            ],
        })
    }

    fn lent(stage: &Stage, kind: &str) -> Value {
        json!({ "connectorRef": { "name": stage.connector(kind) }, "authType": "OAuth2ClientCredentials" })
    }

    fn connection(&self, name: &str, spec: &Value) -> Value {
        connection(&self.ground.namespace, name, spec)
    }

    fn folder(&self) -> Value {
        json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": self.ground.namespace },
        })
    }
}

/// Connectors and auth types that are not for this folder.
fn denied(stage: &Stage, department: &Department) -> Vec<Attempt> {
    let (eve, kind) = (&department.eve, stage.connector("denied"));
    let spec = json!({ "connectorRef": { "name": kind }, "credentials": { "secretRef": { "name": "app" } } });
    let object = department.connection("denied", &spec);
    let words = format!("connector \"{kind}\" is disabled by policy \"{COMPANY}\"; ask its administrator");
    let key = json!({
        "connectorRef": { "name": stage.connector("hostile") }, "authType": "APIKey",
        "credentials": { "secretRef": { "name": "app" } },
    });
    let there = department.connection("lent", &Department::lent(stage, "org"));
    let moved = json!({ "spec": { "connectorRef": { "name": kind } } });
    vec![
        attempt(
            "a denied connector, by a dry run",
            Deed::create(eve, &object).dry_run(),
            refused(words.as_str()),
        ),
        attempt(
            "a denied connector, by create after it",
            Deed::create(eve, &object),
            refused(words.as_str()),
        ),
        attempt("a denied connector, by apply", Deed::apply(eve, &object), refused(words.as_str())),
        attempt(
            "a denied connector, suspended",
            Deed::create(eve, &with(&object, "/spec/suspend", true.into())),
            refused(words),
        ),
        attempt(
            "a denied connector, in a Connection that is there",
            Deed::merge(eve, &there, moved),
            refused("immutable"),
        ),
        attempt(
            "a denied auth type",
            Deed::create(eve, &department.connection("key", &key)),
            refused(format!("authType \"APIKey\" is disabled by policy \"{COMPANY}\"")),
        ),
        attempt(
            "another auth type for a Connection that is there",
            Deed::merge(eve, &there, json!({ "spec": { "authType": "APIKey" } })),
            refused("spec.authType is immutable"),
        ),
    ]
}

/// The folder taken out of the policy's reach.
async fn escapes(stage: &Stage, department: &Department) -> Result<Vec<Attempt>> {
    let verbs = ["create", "get", "list", "patch", "update", "delete"];
    let fred = with_rules_everywhere(&stage.blue, "fred", rules("liaison.dev", &["folders"], &verbs)).await?;
    let paula = paula(&stage.blue).await?;
    let (there, namespace) = (department.folder(), department.ground.namespace.as_str());
    let parent = |value: Value| Deed::merge(&fred, &there, json!({ "spec": { "parentRef": value } }));
    let words = "spec.parentRef is immutable";
    let other = |spec: Value| {
        let mut folder = with(&there, "/metadata/name", "tenancy-free".into());
        folder["spec"] = spec;
        folder["spec"]["displayName"] = "Free".into();
        folder["spec"]["type"] = "Shared".into();
        folder
    };
    let below = other(json!({ "parentRef": { "name": namespace } }));
    let twin = other(json!({ "namespace": namespace }));
    let label = json!({ "metadata": { "labels": { "free": "true" } } });
    let own = policy("eves", &json!({ "folders": { "names": [namespace] } }));
    let company = policy(COMPANY, &json!({}));
    Ok(vec![
        attempt("no parent any more", parent(Value::Null), refused(words)),
        attempt("another parent", parent(json!({ "name": stage.red.namespace })), refused("spec.parentRef")),
        attempt(
            "the folder made anew",
            Deed::delete(&fred, &there),
            refused("still holds connections: lent"),
        ),
        attempt("another folder for its namespace", Deed::create(&paula, &twin), refused("has namespace")),
        attempt(
            "a folder below it without attach",
            Deed::create(&paula, &below),
            refused("needs the right to attach"),
        ),
        attempt(
            "labels of the folder",
            Deed::merge(&department.eve, &there, label.clone()),
            forbidden("patch", "folders"),
        ),
        attempt(
            "labels of the folder, by who makes folders",
            Deed::merge(&paula, &there, label),
            forbidden("patch", "folders"),
        ),
        attempt(
            "a policy of Eve's",
            Deed::create(&department.eve, &own),
            forbidden("create", "connectionpolicies"),
        ),
        attempt(
            "the company's policy changed",
            Deed::merge(&department.eve, &company, json!({ "spec": { "connectors": null } })),
            forbidden("patch", "connectionpolicies"),
        ),
        attempt(
            "the company's policy deleted",
            Deed::delete(&department.eve, &company),
            forbidden("delete", "connectionpolicies"),
        ),
    ])
}

/// Pia writes policies, and reads no Secret of the operator's namespace.
async fn by_policies(stage: &Stage, department: &Department) -> Result<Vec<Attempt>> {
    let verbs = ["create", "get", "list", "patch", "update"];
    let all = rules("liaison.dev", &["connectionpolicies"], &verbs);
    let pia = with_rules_everywhere(&stage.blue, "pia", all).await?;
    let lends = |secret: &str, kind: &str, hosts: Value| {
        let entry = json!({
            "connector": stage.connector(kind), "oauthApp": { "secretRef": { "name": secret } }, "allowedHosts": hosts,
        });
        policy("pias", &json!({ "folders": { "names": [department.ground.namespace] }, "defaults": [entry] }))
    };
    let needs = |secret: &str| {
        refused(format!(
            "spec.defaults needs the right to get secret \"{secret}\" in namespace \"{OPERATOR_NAMESPACE}\""
        ))
    };
    let keyring = lends("liaison-keyring", "lookalike", json!(["127.0.0.1"]));
    let app = lends(APP, "lookalike", json!(["127.0.0.1"]));
    let company = policy(COMPANY, &Department::rules(stage));
    let wider = with(
        &company,
        "/spec/defaults/0/allowedHosts",
        json!([stage.honest.authority(), department.hostile]),
    );
    let turned = with(&company, "/spec/defaults/0/connector", stage.connector("lookalike").into());
    let unbounded = with(&app, "/spec/defaults/0/allowedHosts", json!([]));
    Ok(vec![
        attempt("the keyring lent", Deed::create(&pia, &keyring), needs("liaison-keyring")),
        attempt("the organisation's client lent elsewhere", Deed::create(&pia, &app), needs(APP)),
        attempt("the same by apply", Deed::apply(&pia, &app), needs(APP)),
        attempt("the same by a dry run", Deed::create(&pia, &app).dry_run(), needs(APP)),
        attempt("more hosts for the organisation's client", Deed::replace(&pia, &wider), needs(APP)),
        attempt("another connector for it", Deed::replace(&pia, &turned), needs(APP)),
        attempt(
            "no hosts for it, by an administrator",
            Deed::create(&department.ground.client, &unbounded),
            refused("need allowedHosts"),
        ),
    ])
}

/// An app that is lent to people, used without any person's consent.
fn without_consent(stage: &Stage, department: &Department) -> Vec<Attempt> {
    let eve = &department.eve;
    let spec = Department::lent(stage, "people");
    let itself = |name: &str| department.connection(name, &spec);
    let scoped = with(&itself("itself-scoped"), "/spec/scopes", json!(["everything"]));
    let words =
        format!("policy \"{COMPANY}\" does not lend its OAuth app to authType \"OAuth2ClientCredentials\"");
    let is_told = || says("ClientCredentialsMissing", &words);
    vec![
        attempt("client credentials through a lent app", Deed::create(eve, &itself("itself")), is_told()),
        attempt(
            "client credentials through a lent app, by apply",
            Deed::apply(eve, &itself("itself-applied")),
            is_told(),
        ),
        attempt("client credentials through a lent app, with scopes", Deed::create(eve, &scoped), is_told()),
    ]
}

/// A nearer policy that allows everything takes nothing back.
async fn nearer(stage: &Stage, department: &Department) -> Result<Vec<Attempt>> {
    let denied = stage.connector("denied");
    let lenient = json!({
        "folders": { "names": [department.ground.namespace] }, "connectors": { "allow": [denied, stage.connector("org")] },
        "authTypes": { "allow": ["PersonalAccessToken", "APIKey", "OAuth2ClientCredentials"] },
        "passwordGrant": "Allowed", "enforcement": "Report", "overridable": true,
    });
    Deed::create(&department.ground.client, &policy("tenancy-lenient", &lenient)).perform().await?;
    eventually("the nearer policy is known", HEALS, async || {
        let lent = department.ground.connections().get("lent").await?.status.unwrap_or_default();
        let sources = lent.policy.map(|policy| policy.sources).unwrap_or_default();
        ensure!(sources == [COMPANY, "tenancy-lenient"], "{sources:?}");
        Ok(Some(()))
    })
    .await?;
    let spec =
        json!({ "connectorRef": { "name": denied }, "credentials": { "secretRef": { "name": "app" } } });
    let object = department.connection("allowed", &spec);
    Ok(vec![attempt(
        "a nearer policy that allows the connector",
        Deed::create(&department.eve, &object),
        refused(format!("is disabled by policy \"{COMPANY}\"")),
    )])
}

/// Parameters of Eve's own over those of the policy, and a Connector that looks the same.
fn own_parameters(stage: &Stage, department: &Department) -> Vec<Attempt> {
    let (eve, hostile) = (&department.eve, &department.hostile);
    let site = |name: &str, host: &str| {
        let spec = with(&Department::lent(stage, "site"), "/parameters/host", host.into());
        department.connection(name, &spec)
    };
    let words = format!("what policy \"{COMPANY}\" lends to connections on connector");
    let port = hostile.rsplit(':').next().unwrap_or_default();
    let lookalike = department.connection("lookalike", &Department::lent(stage, "lookalike"));
    vec![
        attempt("a host of one's own", Deed::create(eve, &site("s1", hostile)), refused(words.as_str())),
        attempt(
            "a host of one's own, by a dry run",
            Deed::create(eve, &site("s1", hostile)).dry_run(),
            refused(words.as_str()),
        ),
        attempt(
            "a host of one's own, by apply",
            Deed::apply(eve, &site("s1", hostile)),
            refused(words.as_str()),
        ),
        attempt(
            "a port of one's own at the allowed host",
            Deed::create(eve, &site("s4", &format!("localhost:{port}"))),
            refused(words.as_str()),
        ),
        attempt(
            "a host of one's own that only begins so",
            Deed::create(eve, &site("s2", &format!("localhost.evil.example:{port}"))),
            refused(words),
        ),
        attempt(
            "a host with a user's name",
            Deed::create(eve, &site("s3", &format!("localhost@{hostile}"))),
            says("EgressDenied", ""),
        ),
        attempt(
            "a Connector of the same display name",
            Deed::create(eve, &lookalike),
            says("ClientCredentialsMissing", "spec.oauthApp.secretRef is not set"),
        ),
    ]
}

#[tokio::test]
async fn policies_are_not_escaped_and_what_they_lend_stays_where_it_belongs() -> Result<()> {
    let mut family = Family::new("policies").await?;
    let department = Department::new(&family.stage).await?;
    let stage = &family.stage;
    let attempts = [
        denied(stage, &department),
        escapes(stage, &department).await?,
        by_policies(stage, &department).await?,
        own_parameters(stage, &department),
        without_consent(stage, &department),
    ];
    family.make(attempts.concat()).await?;
    for (number, (name, url)) in disguises::disguises(&department).into_iter().enumerate() {
        let outcome = disguises::disguised(&family.stage, &department, number, &url).await;
        family.count(&format!("the organisation's client sent to {name}"), outcome)?;
    }
    let attempts = nearer(&family.stage, &department).await?;
    family.make(attempts).await?;
    let seen = family.stage.honest.received();
    let itself: Vec<_> = seen.iter().filter(|request| request.path.starts_with(PEOPLE)).collect();
    ensure!(itself.is_empty(), "an app that is lent to people was used without one: {itself:?}");
    let lent = seen.iter().any(|request| super::stage::visible(request).contains(ORGANISATION));
    ensure!(lent, "the organisation's client is known where it belongs");
    family.end().await
}
