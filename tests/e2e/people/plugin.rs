//! `kubectl liaison` as people use it: what it prints, how it ends, and where it looks.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::ListParams;
use liaison::api::{ConsentRequest, Folder};
use liaison::domain::conditions::ConditionType;
use serde_json::json;

use super::listener::returned;
use crate::fixtures::{Ground, HEALS, token_connector};
use crate::person::{
    leave, oidc_app, oidc_connector_for_people, sign_in, user, with_own_app, zitadel_app, zitadel_connector,
};
use crate::support::identity_provider::Zitadel;
use crate::support::strict_provider::StrictProvider;
use crate::support::waiting::{SOON, eventually};
use crate::support::walker::{Page, Walker};
use crate::terminal::{Ended, Terminal, kubeconfig_of};
use crate::welcome::{self, Welcome, welcome};
use crate::world::World;

const ACCOUNT: &str = "test-user@example.com";

async fn ground(name: &str) -> Result<Ground> {
    Ground::new(World::shared().control_plane.client().await?, name).await
}

/// The kubeconfig of a user with this role there, and no namespace in its context.
async fn person(ground: &Ground, name: &str, role: &str) -> Result<PathBuf> {
    let control_plane = World::shared().control_plane;
    user(control_plane, ground, name, role).await?;
    let kubeconfig = kubeconfig_of(control_plane, Some(name), None)?;
    let may = ["auth", "can-i", "get", "connections.liaison.dev", "-n", &ground.namespace, "--as", name];
    eventually("the role is known", HEALS, async || {
        Ok(control_plane.run_kubectl(&may).is_ok().then_some(()))
    })
    .await?;
    Ok(kubeconfig)
}

async fn at_zitadel(name: &str) -> Result<Ground> {
    let world = World::shared();
    let ground = ground(name).await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, zitadel_connector(world)).await?;
    ground.secret("app", &zitadel_app()).await?;
    ground.connection("crm", with_own_app(&connector)).await?;
    ground.until("crm", ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    Ok(ground)
}

async fn at_oidc_provider(name: &str, app: &[(&str, &str)]) -> Result<Ground> {
    let world = World::shared();
    let ground = ground(name).await?;
    let connector = world.connector_for_people()?;
    ground.connector(&connector, oidc_connector_for_people(world)).await?;
    ground.secret("app", app).await?;
    ground.connection("crm", with_own_app(&connector)).await?;
    Ok(ground)
}

pub(super) async fn at_script(name: &str) -> Result<(Ground, StrictProvider)> {
    let ground = ground(name).await?;
    let provider = World::shared().provider()?;
    welcome(&provider, Welcome::default());
    ground.connector(name, welcome::connector(&provider)).await?;
    ground.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    ground.connection("crm", with_own_app(name)).await?;
    Ok((ground, provider))
}

/// What a command ended with, its link put out of sight.
fn story(ended: &Ended, link: &str) -> (Option<i32>, String) {
    (ended.code, ended.output.replace(link, "LINK"))
}

const INVITATION: &str = "Authenticate \"crm\" in your browser; if it does not open by itself, open:\n\n  LINK\n\n\
                          Waiting for you; the link is good for ten minutes.\n";

#[tokio::test]
async fn s31_connecting_at_a_terminal_tells_one_story_and_every_watcher_sees_it() -> Result<()> {
    let ground = at_zitadel("s31").await?;
    let kubeconfig = person(&ground, "s31-ada", "liaison-connection-user").await?;
    let list = Terminal::run(&kubeconfig, &["list", "-n", "s31"]).await?;
    assert!(
        list.output.ends_with("A person has to authenticate:\n\n  kubectl liaison connect crm -n s31"),
        "{list:?}"
    );
    let mut watch = tokio::process::Command::from(World::shared().control_plane.kubectl());
    watch.args(["get", "connections", "-n", "s31", "-w", "--no-headers"]).kill_on_drop(true);
    watch.args([
        "-o",
        "custom-columns=S:.status.state,A:.status.account,R:.status.conditions[?(@.type==\"Ready\")].status",
    ]);
    let rows_file = World::shared().control_plane.directory().join("s31-rows");
    let _watch = watch.stdout(std::fs::File::create(&rows_file)?).spawn()?;
    let rows = || -> Result<Vec<String>> {
        let mut rows: Vec<String> = std::fs::read_to_string(&rows_file)?
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        rows.dedup();
        Ok(rows)
    };
    eventually("the watch is on", SOON, async || Ok(rows()?.first().cloned())).await?;

    let mut terminal = Terminal::start(&kubeconfig, &["connect", "crm", "-n", "s31"])?;
    let link = terminal.link().await?;
    let page = Zitadel::consent(&mut Walker::new(), &link).await?;
    assert_eq!(page.url.host_str(), Some("127.0.0.1"));
    for part in ["Connected", "s31/crm", ACCOUNT, "You can close this window."] {
        assert!(page.text().contains(part), "{}", page.text());
    }
    let ended = terminal.end().await?;
    assert_eq!(story(&ended, &link), (Some(0), format!("{INVITATION}Connected \"crm\" as {ACCOUNT}.")));
    assert_eq!(ended.complaint, "");

    // Nobody sees a step that is neither before nor after.
    let story = [String::from("Inactive System False"), format!("Connected {ACCOUNT} True")];
    eventually("the watch shows it", HEALS, async || {
        let rows = rows()?;
        ensure!(rows == story, "{rows:?}");
        Ok(Some(()))
    })
    .await?;
    let status = ground.connections().get("crm").await?.status.unwrap_or_default();
    assert_eq!(status.authenticated_by.as_deref(), Some("s31-ada"));
    let shown = Terminal::run(&kubeconfig, &["show", "crm", "-n", "s31"]).await?.output;
    assert!(shown.contains("Consent of:  s31-ada") && !shown.contains("Next:"), "{shown}");
    Ok(())
}

/// Goes to the provider's question and says no.
async fn decline(link: &str) -> Result<Page> {
    let mut walker = Walker::new();
    let login = leave(&mut walker, link).await?;
    let question = walker.submit(&login, &[("login", "ada"), ("password", "any")]).await?;
    let abort = question.body.split('"').find(|part| part.ends_with("/abort")).context("a way to say no")?;
    walker.open(question.url.join(abort)?.as_str()).await
}

#[tokio::test]
async fn connecting_ends_with_2_where_the_person_says_no() -> Result<()> {
    let ground = at_oidc_provider("declined", &oidc_app()).await?;
    let kubeconfig = kubeconfig_of(World::shared().control_plane, None, Some("declined"))?;
    let mut terminal = Terminal::start(&kubeconfig, &["connect", "crm"])?;
    let link = terminal.link().await?;
    let page = decline(&link).await?;
    assert!(
        page.text().contains("Permission was not given") && page.text().contains("access_denied"),
        "{}",
        page.text()
    );
    let (code, output) = story(&terminal.end().await?, &link);
    let wanted = "Not connected \"crm\": ConsentDenied: the person, or the provider for them, did not consent \
                  (access_denied); run `kubectl liaison connect crm -n declined` again";
    assert_eq!((code, output), (Some(2), format!("{INVITATION}{wanted}")));
    ground.until("crm", ConditionType::Authenticated, "False", "ConsentDenied").await?;
    Ok(())
}

#[tokio::test]
async fn connecting_ends_with_2_where_the_client_secret_is_wrong_and_both_sides_say_so() -> Result<()> {
    let wrong = [oidc_app()[0], ("clientSecret", "wrong")];
    at_oidc_provider("wrong-app", &wrong).await?;
    let kubeconfig = kubeconfig_of(World::shared().control_plane, None, Some("wrong-app"))?;
    let mut terminal = Terminal::start(&kubeconfig, &["connect", "crm"])?;
    let link = terminal.link().await?;
    let mut walker = Walker::new();
    let login = leave(&mut walker, &link).await?;
    let callback = sign_in(&mut walker, login, &World::shared().public_url).await?;
    let page = walker.open(callback.as_str()).await?;
    assert_eq!(page.url.host_str(), Some("127.0.0.1"));
    let (code, output) = story(&terminal.end().await?, &link);
    let outcome = output.strip_prefix(INVITATION).with_context(|| output.clone())?;
    assert!(outcome.starts_with("Not connected \"crm\": ClientRejected: "), "{outcome}");
    assert!(outcome.ends_with("run `kubectl liaison connect crm -n wrong-app` again."), "{outcome}");
    assert_eq!(code, Some(2));
    assert!(page.text().contains("Not connected") && page.text().contains("clientSecret"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_connected_ends_at_once_with_the_reason() -> Result<()> {
    let (ground, provider) = at_script("refusals").await?;
    let mut connector = token_connector(&|path| provider.endpoint(path));
    connector["displayName"] = "By token".into();
    ground.connector("refusals-pat", connector).await?;
    ground.secret("pat", &[("token", "t")]).await?;
    let spec = json!({ "connectorRef": { "name": "refusals-pat" }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("pat", spec).await?;
    ground.until_ready("pat").await?;
    let kubeconfig = person(&ground, "refusals-ada", "liaison-connection-user").await?;
    let run = async |arguments: &[&str]| {
        Terminal::run(&kubeconfig, &[&["connect"], arguments, &["-n", "refusals"]].concat()).await
    };

    let by_hand = run(&["crm", "--no-browser"]).await?;
    assert_eq!(by_hand.code, Some(2));
    let words = "Not connected \"crm\": CodeEntryNotAllowed: the browser has to run on the machine of the command: no \
                 policy allows to enter a code by hand\nAn administrator of this cluster can mend it.";
    assert!(by_hand.output.starts_with(words), "{by_hand:?}");

    let needless = run(&["pat"]).await?;
    assert_eq!(needless.code, Some(2));
    assert!(needless.output.contains("PersonalAccessToken and needs no person"), "{needless:?}");

    let unknown = run(&["nobody"]).await?;
    assert_eq!((unknown.code, unknown.output.as_str()), (Some(1), ""));
    let words = "kubectl liaison: ConnectionNotFound: connection \"nobody\" does not exist in namespace \"refusals\"; \
                 `kubectl liaison list -n refusals` shows those that do";
    assert!(unknown.complaint.starts_with(words), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn n10_who_does_not_find_a_connection_is_told_which_of_the_causes_it_is() -> Result<()> {
    let world = World::shared();
    let (ground, _provider) = at_script("n10").await?;
    let personal = json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": "n10-own" },
        "spec": { "displayName": "Eve's own", "type": "Personal", "owner": "n10-eve" },
    });
    ground.apply(&personal).await?;
    let kubeconfig = person(&ground, "n10-ada", "liaison-connection-user").await?;
    let folders = ["create", "clusterrole", "n10-folders", "--verb=list", "--resource=folders.liaison.dev"];
    world.control_plane.run_kubectl(&folders)?;
    let bound = ["create", "clusterrolebinding", "n10", "--clusterrole=n10-folders", "--user=n10-ada"];
    world.control_plane.run_kubectl(&bound)?;
    let folders_seen = ["auth", "can-i", "list", "folders.liaison.dev", "--as", "n10-ada"];
    eventually("the right is known", HEALS, async || {
        Ok(world.control_plane.run_kubectl(&folders_seen).is_ok().then_some(()))
    })
    .await?;
    let run = async |arguments: &[&str]| Terminal::run(&kubeconfig, arguments).await;

    for verb in ["connect", "show", "verify"] {
        let unknown = run(&[verb, "nobody", "-n", "n10"]).await?;
        assert_eq!(unknown.code, Some(1));
        assert!(unknown.complaint.contains("ConnectionNotFound: "), "{verb}: {unknown:?}");
        let foreign = run(&[verb, "crm", "-n", "n10-own"]).await?;
        assert_eq!(foreign.code, Some(1));
        let told = foreign.complaint.contains("InPersonalFolder: ") && foreign.complaint.contains("n10-eve");
        assert!(told, "{verb}: {foreign:?}");
    }
    let none = run(&["list", "--connector", "unheard-of", "-n", "n10"]).await?;
    assert!(none.output.starts_with("NoConnectionForConnector: "), "{none:?}");
    Ok(())
}

#[tokio::test]
async fn s33_a_viewer_sees_and_is_told_why_they_cannot_connect() -> Result<()> {
    let (ground, _provider) = at_script("s33").await?;
    ground.until("crm", ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    let kubeconfig = person(&ground, "s33-viewer", "liaison-connection-viewer").await?;
    let shown = Terminal::run(&kubeconfig, &["show", "crm", "-n", "s33"]).await?;
    assert_eq!(shown.code, Some(0));
    assert!(shown.output.contains("AwaitingAuthentication"), "{shown:?}");
    for arguments in [["connect", "crm", "-n", "s33"], ["verify", "crm", "-n", "s33"]] {
        let refused = Terminal::run(&kubeconfig, &arguments).await?;
        assert_eq!((refused.code, refused.output.as_str()), (Some(1), ""));
        let words = ["s33-viewer", "liaison-connection-user", "kubectl auth can-i"];
        assert!(words.iter().all(|word| refused.complaint.contains(word)), "{}", refused.complaint);
        assert_eq!(refused.complaint.lines().count(), 1, "{}", refused.complaint);
    }
    Ok(())
}

async fn open_requests(ground: &Ground) -> Result<usize> {
    let requests: Api<ConsentRequest> = Api::namespaced(ground.client.clone(), &ground.namespace);
    Ok(requests.list(&ListParams::default()).await?.items.len())
}

#[tokio::test]
async fn who_gives_up_leaves_no_open_link_behind() -> Result<()> {
    let (ground, provider) = at_script("giving-up").await?;
    let kubeconfig = person(&ground, "giving-up-ada", "liaison-connection-user").await?;
    let connect = ["connect", "crm", "-n", "giving-up"];

    let mut waiting = Terminal::start(&kubeconfig, &[&connect[..], &["--wait", "1s"]].concat())?;
    let link = waiting.link().await?;
    let (code, output) = story(&waiting.end().await?, &link);
    let wanted =
        "Not connected \"crm\": nobody finished within 1s; the link is closed, run the command again";
    assert_eq!((code, output), (Some(2), format!("{INVITATION}{wanted}")));

    let mut stopped = Terminal::start(&kubeconfig, &connect)?;
    let link = stopped.link().await?;
    stopped.interrupt()?;
    let (code, output) = story(&stopped.end().await?, &link);
    assert_eq!(code, Some(2));
    assert!(
        output.ends_with("the command was stopped; the link is closed, run the command again"),
        "{output}"
    );
    assert_eq!(open_requests(&ground).await?, 0);
    let page = Walker::new().open(&link).await?;
    assert_eq!(page.status, 404, "{}", page.text());
    assert_eq!(provider.received().len(), 0);
    Ok(())
}

#[tokio::test]
async fn s37_without_a_namespace_the_contexts_counts_then_the_personal_folder_and_it_is_said() -> Result<()> {
    let world = World::shared();
    let (ground, _provider) = at_script("s37").await?;
    let personal = json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": "s37-own" },
        "spec": { "displayName": "Ada's own", "type": "Personal", "owner": "s37-ada" },
    });
    ground.apply(&personal).await?;
    let folders: Api<Folder> = Api::all(ground.client.clone());
    eventually("the folder has its namespace", HEALS, async || {
        Ok(folders.get("s37-own").await?.status.and_then(|status| status.namespace))
    })
    .await?;
    let own = Ground { client: ground.client.clone(), namespace: "s37-own".to_owned() };
    own.connection("mine", with_own_app("s37")).await?;
    let kubeconfig = person(&own, "s37-ada", "liaison-connection-user").await?;
    person(&ground, "s37-ada", "liaison-connection-user").await?;
    let everywhere =
        ["create", "clusterrolebinding", "s37", "--clusterrole=liaison-connection-viewer", "--user=s37-ada"];
    world.control_plane.run_kubectl(&everywhere)?;
    let folders_seen = ["auth", "can-i", "list", "folders.liaison.dev", "--as", "s37-ada"];
    eventually("the right is known", HEALS, async || {
        Ok(world.control_plane.run_kubectl(&folders_seen).is_ok().then_some(()))
    })
    .await?;

    let said = "in your personal folder \"s37-own\" (namespace \"s37-own\"); -n names another";
    let own_list = Terminal::run(&kubeconfig, &["list"]).await?.output;
    assert!(
        own_list.starts_with(said) && own_list.contains("mine") && !own_list.contains("crm"),
        "{own_list}"
    );
    let named = Terminal::run(&kubeconfig, &["list", "-n", "s37"]).await?.output;
    assert!(!named.contains("personal") && named.contains("crm") && !named.contains("mine"), "{named}");
    let context = kubeconfig_of(world.control_plane, Some("s37-ada"), Some("s37"))?;
    let by_context = Terminal::run(&context, &["list"]).await?.output;
    assert_eq!(by_context, named);
    // Who has no Personal folder is where every context falls back to.
    let nobody = kubeconfig_of(world.control_plane, None, None)?;
    let fallback = Terminal::run(&nobody, &["list"]).await?.output;
    assert!(!fallback.contains("personal"), "{fallback}");

    own.secret("app", &[("clientId", "a"), ("clientSecret", "b")]).await?;
    own.until("mine", ConditionType::Authenticated, "False", "AwaitingAuthentication").await?;
    let mut terminal = Terminal::start(&kubeconfig, &["connect", "mine"])?;
    let link = terminal.link().await?;
    let receipt = returned(&mut Walker::new(), &link).await?;
    Walker::new().open(receipt.as_str()).await?;
    let ended = terminal.end().await?;
    assert!(
        ended.output.starts_with(said) && ended.output.ends_with("Connected \"mine\" as ada."),
        "{ended:?}"
    );
    Ok(())
}
