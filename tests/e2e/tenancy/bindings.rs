//! Processes that are to get what neither they nor their author may use.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::ListParams;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::Family;
use super::attempt::{Attempt, Deed, attempt, refused, says};
use super::people::{name_of, rules, with_rules};
use super::processes::{BORROWED, binding, furnish, lend};
use super::stage::{RED, Stage, with};
use crate::binding::{ACCOUNT, process, texts};
use crate::support::waiting::{SOON, eventually};

/// Carl writes bindings. He may use blue's connections, and neither red's nor act as blue's ServiceAccounts.
fn across_folders(stage: &Stage) -> Vec<Attempt> {
    let (carl, red) = (&stage.carl, stage.red.namespace.as_str());
    let reference = json!({ "namespace": red, "name": "crm" });
    let mine = binding(stage, "mine", "client", &json!({ "connectionRef": reference, "secretName": "mine" }));
    let own = binding(
        stage,
        "filled",
        "client",
        &json!({ "connectionRef": { "name": "own" }, "secretName": "filled" }),
    );
    let moved = with(&own, "/spec/connectionRef", reference.clone());
    let words = format!("are set by who may use connection \"{red}/crm\", or may create tokens");
    let of_erp = format!("are set by who may use connection \"{red}/erp\", or may create tokens");
    let lent = binding(stage, "lent", "pat", &json!({}));
    let change = |spec: Value| json!({ "spec": spec });
    let borrowed = binding(
        stage,
        "borrowing",
        "pat",
        &json!({
            "connectionRef": { "namespace": red, "name": "erp" }, "serviceAccountName": BORROWED,
            "secretName": "borrowing",
        }),
    );
    let as_red = format!("system:serviceaccount:{red}:{ACCOUNT}");
    vec![
        attempt("red's Connection, by create", Deed::create(carl, &mine), refused(words.as_str())),
        attempt(
            "red's Connection, by a dry run",
            Deed::create(carl, &mine).dry_run(),
            refused(words.as_str()),
        ),
        attempt("red's Connection, by apply", Deed::apply(carl, &mine), refused(words.as_str())),
        attempt(
            "red's Connection, in a binding that is there",
            Deed::replace(carl, &moved),
            refused(words.as_str()),
        ),
        attempt(
            "red's Connection, by a merge patch",
            Deed::merge(carl, &own, change(json!({ "connectionRef": reference }))),
            refused(words),
        ),
        attempt("a borrowed ServiceAccount", Deed::create(carl, &borrowed), refused(of_erp.as_str())),
        attempt(
            "a Secret for what is lent without one",
            Deed::merge(carl, &lent, change(json!({ "secretName": "lent" }))),
            refused(of_erp.as_str()),
        ),
        attempt(
            "another process for what is lent",
            Deed::merge(carl, &lent, change(json!({ "serviceAccountName": ACCOUNT }))),
            refused(of_erp),
        ),
        attempt(
            "red's ServiceAccount",
            Deed::create(carl, &with(&mine, "/spec/serviceAccountName", as_red.into())),
            refused("spec.serviceAccountName"),
        ),
    ]
}

/// Each user chooses for themselves. Carl may delete the binding, and so remove what others chose; Dora may change it.
async fn choices(stage: &Stage) -> Result<Vec<Attempt>> {
    let (carl, red) = (&stage.carl, &stage.red.namespace);
    let user = name_of("carl", &stage.blue.namespace);
    let rights = json!([
        { "apiGroups": ["liaison.dev"], "resources": ["processbindings"], "verbs": ["get", "patch", "update"] },
        { "apiGroups": ["liaison.dev"], "resources": ["connections"], "verbs": ["use"] },
    ]);
    let dora = with_rules(&stage.blue, "dora", rights).await?;
    let chosen = binding(stage, "chosen", "client", &json!({}));
    let choose_as =
        |who, choices: Value| Deed::merge(who, &chosen, json!({ "spec": { "choices": choices } }));
    let choose = |choices: Value| choose_as(carl, choices);
    let entry = |user: &str, connection: Value| json!({ "user": user, "connectionRef": connection });
    let olga = name_of("olga", &stage.blue.namespace);
    let (own, crm) = (json!({ "name": "own" }), json!({ "namespace": red, "name": "crm" }));
    let doras = name_of("dora", &stage.blue.namespace);
    let of_others = |user: &str| {
        format!("you are \"{user}\", and each user sets, changes or removes only their own entry")
    };
    let (others, not_doras) = (of_others(&user), of_others(&doras));
    let fixed = json!({ "choices": null, "configurableByUsers": false, "connectionRef": { "name": "own" } });
    let fresh = binding(
        stage,
        "fresh",
        "client",
        &json!({ "configurableByUsers": true, "choices": [entry(&olga, own.clone())] }),
    );
    Ok(vec![
        attempt(
            "somebody's choice changed",
            choose(json!([entry(&olga, crm.clone())])),
            refused(others.as_str()),
        ),
        attempt("somebody's choice removed", choose_as(&dora, json!([])), refused(not_doras.as_str())),
        attempt(
            "somebody's choice taken over",
            choose_as(&dora, json!([entry(&doras, own.clone())])),
            refused(not_doras.as_str()),
        ),
        attempt(
            "a choice for somebody else",
            choose(json!([entry(&olga, own.clone()), entry("eve", own)])),
            refused(others.as_str()),
        ),
        attempt("a choice for somebody in a new binding", Deed::create(carl, &fresh), refused(others)),
        attempt(
            "everybody's choices removed by another mode",
            Deed::merge(&dora, &chosen, json!({ "spec": fixed })),
            refused(not_doras),
        ),
        attempt(
            "a choice of what oneself may not use",
            choose(json!([entry(&olga, json!({ "name": "own" })), entry(&user, crm)])),
            refused(format!("spec.choices: you need the right to use connection \"{red}/crm\"")),
        ),
    ])
}

/// Eve may act as every ServiceAccount of blue, so her bindings are made; none of them gets anything of red.
fn without_use(stage: &Stage) -> Vec<Attempt> {
    let red = stage.red.namespace.as_str();
    let of = |name: &str, namespace: &str, connection: &str| {
        let reference = json!({ "namespace": namespace, "name": connection });
        let spec = json!({ "connectionRef": reference, "secretName": format!("{name}-secret") });
        let words = format!("connection \"{namespace}/{connection}\" not found or not accessible");
        (binding(stage, name, "client", &spec), says("ConnectionNotAccessible", words))
    };
    let tries = [
        ("red's Connection by a process that may not use it", of("is", red, "crm")),
        ("a Connection of red that is not there", of("is-not", red, "no1")),
        ("a Connection of a namespace that is not there", of("nowhere", "no-such-folder", "crm")),
        ("a Connection in the operator's namespace", of("operators", "liaison-system", "crm")),
    ];
    tries.map(|(name, (object, fate))| attempt(name, Deed::create(&stage.eve, &object), fate)).into()
}

/// Whether there is a Connection cannot be told from what a binding says, in its status and by Events.
async fn no_oracle(stage: &Stage) -> Result<()> {
    let bindings = stage.blue.bindings();
    let said = async |name: &str, connection: &str| -> Result<(String, Vec<String>)> {
        let found = bindings.get(name).await?;
        let mut status = serde_json::to_value(&found.status)?;
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"] = Value::Null;
        }
        let path = format!("{}/{connection}", stage.red.namespace);
        let mut events = stage.blue.events(name).await?;
        events.sort();
        Ok((status.to_string().replace(&path, "CONNECTION"), events))
    };
    eventually("both are told by an Event", SOON, async || {
        let (is, is_not) = (said("is", "crm").await?, said("is-not", "no1").await?);
        Ok((!is.1.is_empty() && !is_not.1.is_empty()).then_some(()))
    })
    .await?;
    let (is, is_not) = (said("is", "crm").await?, said("is-not", "no1").await?);
    ensure!(is == is_not, "{is:?} is not {is_not:?}");
    Ok(())
}

/// The same for who is refused.
async fn no_oracle_in_refusals(stage: &Stage) -> Result<()> {
    let answer = async |connection: &str| -> Result<String> {
        let reference = json!({ "namespace": stage.red.namespace, "name": connection });
        let object = binding(stage, "asks", "client", &json!({ "connectionRef": reference }));
        let Err(error) = Deed::create(&stage.carl, &object).perform().await else {
            anyhow::bail!("it was not refused")
        };
        Ok(error.to_string().replace(&format!("{}/{connection}", stage.red.namespace), "CONNECTION"))
    };
    let (is, is_not) = (answer("crm").await?, answer("no1").await?);
    ensure!(is == is_not, "{is} is not {is_not}");
    Ok(())
}

/// Bindings that may not use a Connection do not hold it up, nor does its owner learn of them.
async fn not_held_up(stage: &Stage) -> Result<()> {
    let crm = stage.red.connections().get("crm").await?;
    let consumers = crm.status.and_then(|status| status.consumers).context("consumers")?;
    ensure!(consumers.elsewhere == 0 && consumers.count == 2, "{consumers:?}");
    Ok(())
}

/// Blue's Connection asks to be the default; red's process keeps red's.
async fn default_elsewhere(stage: &Stage) -> Result<()> {
    let own = stage.in_blue("own", &Value::Null);
    Deed::merge(&stage.eve, &own, json!({ "spec": { "default": true } })).perform().await?;
    stage.blue.until("own", ConditionType::DefaultApplied, "False", "OnlyConnection").await?;
    let bound = stage.red.bindings().get("by-default").await?;
    let connection = bound.status.and_then(|status| status.connection).context("a connection")?;
    ensure!(
        (connection.namespace.as_str(), connection.name.as_str()) == (stage.red.namespace.as_str(), "crm"),
        "{connection:?}"
    );
    Ok(())
}

/// Cora may make connections in red and change none.
async fn default_by_a_newcomer(stage: &Stage) -> Result<Vec<Attempt>> {
    let create = rules("liaison.dev", &["connections"], &["create"]);
    let cora = with_rules(&stage.red, "cora", create).await?;
    let spec = json!({ "connectorRef": { "name": stage.connector("client") }, "default": true });
    let words = format!(
        "spec.default decides which connection the processes of namespace \"{}\" get, which needs the right to patch \
         connections there",
        stage.red.namespace
    );
    Ok(vec![
        attempt(
            "the default taken by who may only make connections",
            Deed::create(&cora, &stage.in_red("coras", &spec)),
            refused(words.as_str()),
        ),
        attempt(
            "the same by a dry run",
            Deed::create(&cora, &stage.in_red("coras", &spec)).dry_run(),
            refused(words),
        ),
    ])
}

/// No Secret of blue has come to hold anything of red's by a binding.
async fn nothing_of_red_is_filled(stage: &Stage) -> Result<()> {
    for secret in stage.blue.secrets().list(&ListParams::default()).await? {
        let name = secret.name_any();
        let holds = texts(secret).values().any(|text| text.contains(RED));
        ensure!(!holds, "{name} holds a credential of red");
    }
    Ok(())
}

#[tokio::test]
async fn processes_get_nothing_of_others() -> Result<()> {
    let mut family = Family::new("bindings").await?;
    furnish(&family.stage).await?;
    let attempts = [across_folders(&family.stage), choices(&family.stage).await?].concat();
    family.make(attempts).await?;
    let attempts = without_use(&family.stage);
    family.make(attempts).await?;
    let outcome = no_oracle(&family.stage).await;
    family.count("existence told by a binding", outcome)?;
    let outcome = no_oracle_in_refusals(&family.stage).await;
    family.count("existence told by a refusal", outcome)?;
    let outcome = not_held_up(&family.stage).await;
    family.count("red's Connection held up by bindings that may not use it", outcome)?;
    let outcome = default_elsewhere(&family.stage).await;
    family.count("a default in another folder", outcome)?;
    let attempts = default_by_a_newcomer(&family.stage).await?;
    family.make(attempts).await?;
    nothing_of_red_is_filled(&family.stage).await?;
    family.end().await
}

/// Who may use the Connection, or act as the process, is not refused: the words above stand for a right, not for a request
/// that could not be made anyway.
#[tokio::test]
async fn who_has_the_right_makes_the_same_bindings() -> Result<()> {
    let stage = Stage::new("bindings-allowed").await?;
    let red = stage.red.namespace.clone();
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT } });
    stage.blue.apply(&account).await?;
    lend(&stage, "crm", process(&stage.blue.namespace)).await?;
    let reference = json!({ "namespace": red, "name": "crm" });
    let mine =
        binding(&stage, "mine", "client", &json!({ "connectionRef": reference, "secretName": "mine" }));
    Deed::create(&stage.eve, &mine).perform().await?;
    stage.blue.until_binding("mine", "True", "Bound").await?;
    let texts = stage.blue.secret_texts("mine").await?.context("a Secret")?;
    ensure!(texts.values().any(|text| text.contains(RED)), "what red lends is handed out");
    Ok(())
}
