//! What a person does with one connection of many: make it the default, call it something else, verify it, see who uses
//! it, delete it. With kubectl alone, and with the plugin.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use liaison::api::connection::VerificationResult;
use liaison::api::{Connection, ProcessBinding};
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use crate::fixtures::{Ground, HEALS, token_connector};
use crate::person::user;
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::waiting::eventually;
use crate::terminal::{Ended, Terminal, kubeconfig_of};
use crate::world::World;

/// A folder with a user who may do with its connections what a colleague may, and the kubeconfig of that user.
pub(crate) async fn team(name: &str) -> Result<(Ground, PathBuf)> {
    let control_plane = World::shared().control_plane;
    let ground = Ground::new(control_plane.client().await?, name).await?;
    let ada = format!("{name}-ada");
    user(control_plane, &ground, &ada, "liaison-connection-user").await?;
    let may = ["auth", "can-i", "delete", "connections.liaison.dev", "-n", name, "--as", &ada];
    eventually("the role is known", HEALS, async || {
        Ok(control_plane.run_kubectl(&may).is_ok().then_some(()))
    })
    .await?;
    Ok((ground, kubeconfig_of(control_plane, Some(&ada), Some(name))?))
}

fn marked(default: bool) -> Value {
    json!({ "connectorRef": { "name": "no-such-application" }, "default": default })
}

fn effective(connection: &Connection) -> Option<bool> {
    connection.status.as_ref().and_then(|status| status.effective_default)
}

fn succeeded(ended: &Ended) -> Result<&str> {
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(&ended.output)
}

/// A process of `of` whose ServiceAccount may use the Connection, and which is bound to it.
pub(crate) async fn bound(of: &Ground, process: &str, ground: &Ground, connection: &str) -> Result<()> {
    of.apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": process } }))
        .await?;
    let subject = json!({ "kind": "ServiceAccount", "name": process, "namespace": of.namespace });
    let role = json!({
        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "liaison-connection-user",
    });
    ground
        .apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": format!("{}-{process}", of.namespace) }, "roleRef": role, "subjects": [subject],
        }))
        .await?;
    let target = ground.connections().get(connection).await?;
    of.apply(&json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding", "metadata": { "name": process },
        "spec": {
            "connectorRef": { "name": target.spec.connector_ref.name },
            "connectionRef": { "namespace": ground.namespace, "name": connection },
            "serviceAccountName": process,
        },
    }))
    .await?;
    let uid = target.uid().context("a uid")?;
    let status = json!({ "connection": { "namespace": ground.namespace, "name": connection, "uid": uid } });
    let bindings: Api<ProcessBinding> = Api::namespaced(of.client.clone(), &of.namespace);
    bindings
        .patch_status(process, &PatchParams::default(), &Patch::Merge(json!({ "status": status })))
        .await?;
    Ok(())
}

#[tokio::test]
async fn s25_the_plugin_marks_one_and_takes_the_mark_from_the_others() -> Result<()> {
    let (ground, kubeconfig) = team("s25-plugin").await?;
    for (name, default) in [("a", true), ("b", true), ("c", false)] {
        ground.connection(name, marked(default)).await?;
    }
    // As people's manifests are: the one who applies them is kubectl.
    for name in ["a", "b"] {
        let owned_by_people = Patch::Merge(json!({ "metadata": { "managedFields": [{}] } }));
        ground.connections().patch(name, &PatchParams::default(), &owned_by_people).await?;
    }
    let ended = Terminal::run(&kubeconfig, &["set-default", "c"]).await?;
    assert_eq!(
        succeeded(&ended)?,
        "\"c\" is the default for connector \"no-such-application\" in folder \"s25-plugin\""
    );
    let all = ground.connections().list(&kube::api::ListParams::default()).await?;
    let marks: Vec<_> = all.iter().map(|one| (one.name_any(), one.spec.default)).collect();
    assert_eq!(marks, [("a".to_owned(), false), ("b".to_owned(), false), ("c".to_owned(), true)]);
    let list = Terminal::run(&kubeconfig, &["list"]).await?;
    let rows: Vec<Vec<&str>> = list.output.lines().map(|line| line.split_whitespace().collect()).collect();
    let column = rows[0].iter().position(|word| *word == "DEFAULT").context("a column")?;
    assert_eq!([rows[1][column], rows[2][column], rows[3][column]], ["false", "false", "true"], "{list:?}");
    Ok(())
}

#[tokio::test]
async fn s25_the_plugin_leaves_a_mark_that_a_tool_would_set_again_and_wins_over_it() -> Result<()> {
    let (ground, kubeconfig) = team("s25-tool").await?;
    ground.connection("a", marked(true)).await?;
    ground.connection("b", marked(true)).await?;
    ground.until_is("b", "is the default", |now| effective(now) == Some(true)).await?;
    let superseded = ground.until("a", ConditionType::DefaultApplied, "False", "Superseded").await?;

    // Both are applied by "test"; the mark of "a" is older, so it has to be set anew, in a later second.
    let since = superseded.status.and_then(|status| status.default_since).context("since")?.0.as_second();
    eventually("the second is over", HEALS, async || {
        let now = std::time::UNIX_EPOCH.elapsed()?.as_secs();
        Ok((i64::try_from(now)? > since + 1).then_some(()))
    })
    .await?;
    let ended = Terminal::run(&kubeconfig, &["set-default", "a"]).await?;
    assert_eq!(
        succeeded(&ended)?,
        "\"b\" stays marked: \"test\" applies it and would mark it again, later than this one; take spec.default out of \
         its manifest\n\"a\" is the default for connector \"no-such-application\" in folder \"s25-tool\""
    );
    ground.connection("b", marked(true)).await?;
    ground.until("b", ConditionType::DefaultApplied, "False", "Superseded").await?;
    Ok(())
}

#[tokio::test]
async fn s26_the_plugin_refuses_to_mark_the_only_connection() -> Result<()> {
    let (ground, kubeconfig) = team("s26-plugin").await?;
    ground.connection("a", marked(false)).await?;
    let ended = Terminal::run(&kubeconfig, &["set-default", "a"]).await?;
    assert_eq!(ended.code, Some(1));
    assert_eq!(
        ended.complaint.trim_end(),
        "kubectl liaison: connection \"a\" is the only one for connector \"no-such-application\" in folder \
         \"s26-plugin\"; a default needs at least two"
    );
    assert!(!ground.connections().get("a").await?.spec.default);
    let unknown = Terminal::run(&kubeconfig, &["set-default", "b"]).await?;
    assert!(unknown.complaint.contains("ConnectionNotFound: connection \"b\" does not exist"), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn s29_a_rename_changes_what_people_call_it_and_nothing_else() -> Result<()> {
    let (ground, kubeconfig) = team("s29").await?;
    ground.connection("a", marked(true)).await?;
    ground.connection("b", marked(false)).await?;
    bound(&ground, "report", &ground, "a").await?;
    let used = |now: &Connection| now.status.as_ref().is_some_and(|status| status.consumers.is_some());
    let before = ground
        .until_is("a", "is the default and in use", |now| effective(now) == Some(true) && used(now))
        .await?;
    let ended = Terminal::run(&kubeconfig, &["rename", "a", "Customers of ours"]).await?;
    assert!(succeeded(&ended)?.starts_with("\"a\" is called \"Customers of ours\" now"), "{ended:?}");
    let called = |now: &Connection| now.status.as_ref().and_then(|status| status.display_name.clone());
    let after =
        ground.until_is("a", "is renamed", |now| called(now).as_deref() == Some("Customers of ours")).await?;
    assert_eq!((after.uid(), after.name_any()), (before.uid(), before.name_any()));
    assert!(after.spec.default);
    let kept = |connection: &Connection| {
        let status = connection.status.clone().unwrap_or_default();
        (status.effective_default, status.default_since, status.consumers)
    };
    assert_eq!(kept(&after), kept(&before));
    let bindings: Api<ProcessBinding> = Api::namespaced(ground.client.clone(), "s29");
    let bound = bindings.get("report").await?.status.and_then(|status| status.connection);
    assert_eq!(bound.map(|bound| bound.uid), after.uid());
    Ok(())
}

/// Two Ready connections at a provider, and a colleague.
async fn connected(name: &str) -> Result<(Ground, PathBuf, StrictProvider)> {
    let (ground, kubeconfig) = team(name).await?;
    let provider = World::shared().provider()?;
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    ground.connector(name, token_connector(&|path| provider.endpoint(path))).await?;
    ground.secret("pat", &[("token", "t")]).await?;
    for connection in ["first", "second"] {
        let credentials = json!({ "secretRef": { "name": "pat" } });
        ground
            .connection(connection, json!({ "connectorRef": { "name": name }, "credentials": credentials }))
            .await?;
        ground.until_ready(connection).await?;
    }
    Ok((ground, kubeconfig, provider))
}

#[tokio::test]
async fn s23_default_verify_and_delete_are_there_by_kubectl_and_by_the_plugin() -> Result<()> {
    let (ground, kubeconfig, _provider) = connected("s23").await?;
    let ada = "--as=s23-ada";
    let kubectl = |arguments: &[&str]| {
        World::shared().control_plane.run_kubectl(&[arguments, &["-n", "s23", ada]].concat())
    };
    let mark = "{\"spec\":{\"default\":true}}";
    kubectl(&["patch", "connection", "first", "--type=merge", "-p", mark])?;
    ground.until("first", ConditionType::DefaultApplied, "True", "DefaultApplied").await?;
    succeeded(&Terminal::run(&kubeconfig, &["set-default", "second"]).await?)?;
    assert_eq!(effective(&ground.connections().get("second").await?), Some(true));

    kubectl(&["annotate", "connection", "first", "liaison.dev/verify-at=now"])?;
    let verified = ground
        .until_is("first", "is verified", |now| {
            let status = now.status.clone().unwrap_or_default();
            status.last_handled_verify_at.as_deref() == Some("now")
        })
        .await?;
    let last = verified.status.and_then(|status| status.last_verification).context("a verification")?;
    assert_eq!(last.result, VerificationResult::Succeeded);
    succeeded(&Terminal::run(&kubeconfig, &["verify", "second"]).await?)?;

    kubectl(&["delete", "connection", "first"])?;
    let ended = Terminal::typing(&kubeconfig, &["delete", "second"], "second\n").await?;
    assert!(succeeded(&ended)?.contains("No process uses it."), "{ended:?}");
    eventually("both are gone", HEALS, async || {
        let left = ground.connections().list(&kube::api::ListParams::default()).await?;
        Ok(left.items.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn s30_what_a_connection_is_and_who_uses_it_is_shown_to_who_may_look() -> Result<()> {
    let (ground, kubeconfig, _provider) = connected("s30").await?;
    let other = Ground::new(ground.client.clone(), "s30-other").await?;
    for (of, process) in [(&ground, "sync"), (&ground, "report"), (&other, "quiet-project")] {
        bound(of, process, &ground, "first").await?;
    }
    let consumers = |now: &Connection| now.status.as_ref().and_then(|status| status.consumers.clone());
    let used = ground
        .until_is("first", "has three consumers", |now| {
            consumers(now).is_some_and(|consumers| consumers.count == 3)
        })
        .await?;
    let told = consumers(&used).context("consumers")?;
    assert_eq!((told.names.join(" ").as_str(), told.elsewhere), ("report sync", 1));
    let shown = Terminal::run(&kubeconfig, &["show", "first"]).await?;
    for line in [
        "Account:     ada",
        "State:       Connected",
        "Default:     no, and none is",
        "Used by:     \"report\", \"sync\", 1 of other folders",
    ] {
        assert!(shown.output.contains(line), "{}", shown.output);
    }
    assert!(shown.output.lines().any(|line| line.starts_with("Folder: ") && line.ends_with("s30")));
    assert!(shown.output.lines().any(|line| line.starts_with("Verified: ") && line.ends_with("Succeeded")));
    let described =
        World::shared().control_plane.run_kubectl(&["describe", "connection", "first", "-n", "s30"])?;
    for text in [&shown.output, &described] {
        assert!(text.contains("report") && !text.contains("quiet-project"), "{text}");
    }

    // One moves on, and one goes.
    bound(&ground, "sync", &ground, "second").await?;
    let bindings: Api<ProcessBinding> = Api::namespaced(other.client.clone(), "s30-other");
    bindings.delete("quiet-project", &kube::api::DeleteParams::default()).await?;
    let left = |now: &Connection| consumers(now).map(|consumers| consumers.names.join(" "));
    ground.until_is("first", "has one consumer", |now| left(now).as_deref() == Some("report")).await?;
    ground.until_is("second", "has one consumer", |now| left(now).as_deref() == Some("sync")).await?;
    let bindings: Api<ProcessBinding> = Api::namespaced(ground.client.clone(), "s30");
    bindings.delete("report", &kube::api::DeleteParams::default()).await?;
    ground.until_is("first", "has no consumer", |now| consumers(now).is_none()).await?;
    Ok(())
}
