//! References to Secrets that are not for who refers to them.
//!
//! References to a certificate authority are no way in: no kind has one
//! ([`no_kind_refers_to_a_certificate_authority`]).

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::ByteString;
use kube::Client;
use liaison::api::names::{TOKEN_RECORD_KEY, token_secret};
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::Family;
use super::attempt::{Attempt, Deed, attempt, forbidden, refused, says};
use super::stage::{Stage, connection, uid, with};
use crate::support::operator::OPERATOR_NAMESPACE;

const SECRET_REF: &str = "/spec/credentials/secretRef/name";

/// A Connection of blue that would send a Secret's token to the hostile provider.
fn hostile(stage: &Stage, name: &str, secret: &str) -> Value {
    with(&stage.in_blue(name, &stage.with_pat("hostile")), SECRET_REF, secret.into())
}

/// The same of an OAuth client.
fn hostile_app(stage: &Stage, name: &str, secret: &str) -> Value {
    let spec = with(&stage.with_app("hostile"), "/oauthApp/secretRef/name", secret.into());
    stage.in_blue(name, &spec)
}

/// Eve may read every Secret of blue, so all that is between her and red's are names.
fn by_odd_names(stage: &Stage) -> Vec<Attempt> {
    let (red, blue, eve) = (&stage.red.namespace, &stage.blue.namespace, &stage.eve);
    let missing = format!("does not exist in namespace \"{blue}\"");
    let shape = || refused("spec.credentials.secretRef.name");
    let named = |name: &str, secret: &str| Deed::create(eve, &hostile(stage, name, secret));
    let elsewhere = with(&hostile(stage, "r5", "pat"), "/spec/credentials/secretRef/namespace", json!(red));
    vec![
        attempt("a path to red's Secret", named("r1", &format!("{red}/pat")), shape()),
        attempt("a path upwards", named("r2", &format!("../{red}/secrets/pat")), shape()),
        attempt("an encoded path", named("r3", &format!("..%2F{red}%2Fsecrets%2Fpat")), shape()),
        attempt("a query", named("r4", "pat?namespace=red"), shape()),
        attempt(
            "a namespace beside the name",
            Deed::create(eve, &elsewhere),
            says("CredentialsMissing", missing.as_str()),
        ),
        attempt(
            "a name with red's namespace in it",
            named("r6", &format!("{red}.pat")),
            says("CredentialsMissing", missing.as_str()),
        ),
        attempt(
            "the name alone, of an OAuth app",
            Deed::create(eve, &hostile_app(stage, "r7", "red-app")),
            says("ClientCredentialsMissing", missing.as_str()),
        ),
        attempt(
            "the operator's keyring by its name",
            named("r8", "liaison-keyring"),
            says("CredentialsMissing", missing.as_str()),
        ),
        attempt(
            "red's Secret, labelled by Eve",
            Deed::merge(
                eve,
                &json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "pat", "namespace": red },
                }),
                json!({ "metadata": { "labels": { "liaison.dev/credentials": "true" } } }),
            ),
            forbidden("patch", "secrets"),
        ),
        attempt(
            "a Connection in red",
            Deed::create(eve, &stage.in_red("eves", &stage.with_pat("hostile"))),
            forbidden("create", "connections"),
        ),
    ]
}

/// Carl makes connections in blue and may not read its Secrets; every way to write a reference is closed to him.
fn without_get(stage: &Stage) -> Vec<Attempt> {
    let carl = &stage.carl;
    let words = "spec.credentials.secretRef needs the right to get secret \"team-pat\" in namespace";
    let object = hostile(stage, "carls", "team-pat");
    let there = stage.in_blue("harmless", &stage.with_app("hostile"));
    let credentials = object["spec"]["credentials"].clone();
    let applied = with(&there, "/spec/credentials", credentials.clone());
    let app = "spec.oauthApp.secretRef needs the right to get secret \"app\" in namespace";
    vec![
        attempt("without get, by create", Deed::create(carl, &object), refused(words)),
        attempt("without get, by a dry run", Deed::create(carl, &object).dry_run(), refused(words)),
        attempt("without get, by apply", Deed::apply(carl, &object), refused(words)),
        attempt("without get, by an apply over another", Deed::apply(carl, &applied), refused(words)),
        attempt("without get, by replacing", Deed::replace(carl, &applied), refused(words)),
        attempt(
            "without get, by a merge patch",
            Deed::merge(carl, &there, json!({ "spec": { "credentials": credentials } })),
            refused(words),
        ),
        attempt(
            "without get, by a JSON patch",
            Deed::json(
                carl,
                &there,
                json!([{ "op": "add", "path": "/spec/credentials", "value": credentials }]),
            ),
            refused(words),
        ),
        attempt(
            "without get, of an OAuth app",
            Deed::create(carl, &hostile_app(stage, "carls-app", "app")),
            refused(app),
        ),
        attempt(
            "without get, of what is not there yet",
            Deed::create(carl, &hostile(stage, "carls-next", "later")),
            refused("needs the right to get secret \"later\""),
        ),
        attempt(
            "without get, by labelling",
            Deed::merge(
                carl,
                &stage.secret_in_blue("team-pat"),
                json!({ "metadata": { "labels": { "liaison.dev/credentials": "true" } } }),
            ),
            forbidden("patch", "secrets"),
        ),
    ]
}

/// What is no credential, whoever may read it.
async fn what_is_no_credential(stage: &Stage) -> Result<Vec<Attempt>> {
    let administrator = &stage.blue.client;
    let payroll =
        with(&stage.secret_in_blue("payroll"), "/stringData", json!({ "token": "blue-credential" }));
    Deed::create(administrator, &payroll).perform().await?;
    // A token record of blue, which Eve labels as a credential.
    stage.blue.secret("own-app", &[("clientId", "eve"), ("clientSecret", "eves")]).await?;
    let spec = with(&stage.with_app("client"), "/oauthApp/secretRef/name", "own-app".into());
    stage.blue.connection("own", spec).await?;
    let own = stage.blue.until_ready("own").await?;
    let record = token_secret(&uid(&own)?);
    let label = json!({ "metadata": { "labels": { "liaison.dev/credentials": "true" } } });
    Deed::merge(&stage.eve, &stage.secret_in_blue(&record), label).perform().await?;
    let mut as_key = hostile(stage, "as-key", &record);
    as_key["spec"]["authType"] = "APIKey".into();
    let keyring = hostile(stage, "keyring", "liaison-keyring");
    let keyring = with(&keyring, "/metadata/namespace", OPERATOR_NAMESPACE.into());
    Ok(vec![
        attempt(
            "a Secret whose owner has not labelled it",
            Deed::create(&stage.eve, &hostile(stage, "unlabelled", "payroll")),
            says("CredentialsMissing", "does not allow its use by connections"),
        ),
        attempt(
            "a token record as a key",
            Deed::create(&stage.eve, &as_key),
            says("CredentialsMissing", "the credential \"record\" is missing or empty"),
        ),
        attempt(
            "the keyring, by somebody who makes connections everywhere",
            Deed::create(administrator, &keyring),
            refused("is the operator's own; choose another one"),
        ),
    ])
}

/// Eve has come by red's sealed record, from a backup, and puts it where her own Connection's would be.
async fn a_foreign_record(stage: &Stage) -> Result<()> {
    let crm = stage.red.connections().get("crm").await?;
    let record = stage.red.secrets().get(&token_secret(&uid(&crm)?)).await?;
    let sealed = record.data.context("data")?.remove(TOKEN_RECORD_KEY).context("record")?;
    let own = stage.blue.connections().get("own").await?;
    put_record(&stage.eve, stage, &token_secret(&uid(&own)?), &sealed).await?;
    stage.blue.until("own", ConditionType::Authenticated, "False", "TokenUnreadable").await?;
    Ok(())
}

async fn put_record(client: &Client, stage: &Stage, secret: &str, sealed: &ByteString) -> Result<()> {
    let change = json!({ "data": { TOKEN_RECORD_KEY: sealed } });
    Deed::merge(client, &stage.secret_in_blue(secret), change).perform().await?;
    Ok(())
}

/// Eve makes a Secret in blue that says to be the record of red's Connection.
async fn a_record_for_red(stage: &Stage) -> Result<()> {
    let crm = stage.red.connections().get("crm").await?;
    let before = stage.honest.count("/token");
    let mut forged = stage.secret_in_blue(&token_secret(&uid(&crm)?));
    forged["metadata"]["labels"] = json!({ "liaison.dev/token-of": uid(&crm)? });
    forged["type"] = "liaison.dev/token".into();
    forged["stringData"] = json!({ TOKEN_RECORD_KEY: "eves" });
    Deed::create(&stage.eve, &forged).perform().await?;
    // Whatever the operator makes of it, it has made before it looks at what comes later.
    let later = connection(&stage.red.namespace, "later", &stage.with_pat("pat"));
    Deed::create(&stage.red.client, &later).perform().await?;
    stage.red.until_ready("later").await?;
    let now = stage.red.until_ready("crm").await?;
    ensure!(now.status == crm.status, "red's status has changed");
    ensure!(stage.honest.count("/token") == before, "red's token was asked for anew");
    Ok(())
}

#[tokio::test]
async fn secrets_of_others_are_not_used_by_reference() -> Result<()> {
    let mut family = Family::new("references").await?;
    let stage = &family.stage;
    let harmless = with(&stage.with_app("hostile"), "/oauthApp/secretRef/name", "none".into());
    stage.blue.connection("harmless", harmless).await?;
    let attempts = [by_odd_names(stage), without_get(stage), what_is_no_credential(stage).await?].concat();
    family.make(attempts).await?;
    let outcome = a_foreign_record(&family.stage).await;
    family.count("red's sealed record under Eve's Connection", outcome)?;
    let outcome = a_record_for_red(&family.stage).await;
    family.count("a Secret of blue that says to be red's record", outcome)?;
    family.end().await
}

#[test]
fn no_kind_refers_to_a_certificate_authority() -> Result<()> {
    for definition in liaison::api::crds::all() {
        let text = serde_json::to_string(&definition)?.to_lowercase();
        for field in
            ["\"ca\":", "\"cabundle\":", "\"caref\":", "\"casecretref\":", "\"certificateauthority\":"]
        {
            ensure!(!text.contains(field), "{:?} has {field}: attack it", definition.metadata.name);
        }
    }
    Ok(())
}
