//! Who may lend a Secret of the operator's namespace, and that what a policy does not allow is refused at once.

/// Installs policies for the whole cluster: not on an existing one.
mod own_control_plane {
    use anyhow::{Error, Result};
    use kube::Client;
    use serde_json::{Value, json};

    use super::super::{Stage, connection, create, delete, patch, refused};
    use crate::support::waiting::{SOON, eventually};

    fn policy(name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ConnectionPolicy", "metadata": { "name": name }, "spec": spec,
        })
    }

    /// A policy for a folder that is not there, so that it concerns nobody.
    fn nobodys(name: &str, defaults: &Value) -> Value {
        policy(name, &json!({ "folders": { "names": ["nobodys"] }, "defaults": defaults }))
    }

    fn entry(connector: &str, secret: &str, hosts: &[&str]) -> Value {
        json!({ "connector": connector, "oauthApp": { "secretRef": { "name": secret } }, "allowedHosts": hosts })
    }

    /// A user who may write policies, and nothing else.
    async fn writer(name: &str) -> Result<Client> {
        let stage = Stage::shared()?;
        let (role, user) = (format!("writes-policies-{name}"), format!("--user={name}"));
        let verbs = "--verb=get,list,create,update,patch,delete";
        let resource = "--resource=connectionpolicies.liaison.dev";
        stage.control_plane.run_kubectl(&["create", "clusterrole", &role, verbs, resource])?;
        let with = format!("--clusterrole={role}");
        stage.control_plane.run_kubectl(&["create", "clusterrolebinding", &role, &with, &user])?;
        let client = stage.control_plane.client_as(name, &[]).await?;
        let probe = nobodys(&format!("probe-{name}"), &json!([]));
        eventually("the user may write policies", SOON, async || Ok(create(&client, "", &probe).await.ok()))
            .await?;
        Ok(client)
    }

    /// The user may read this Secret of the operator's namespace from now on.
    async fn may_read(user: &str, secret: &str, probe: impl AsyncFn() -> bool) -> Result<()> {
        let stage = Stage::shared()?;
        let (role, named) = (format!("{user}-reads-{secret}"), format!("--resource-name={secret}"));
        let namespace = "--namespace=liaison-system";
        let rights = ["create", "role", &role, "--verb=get", "--resource=secrets", &named, namespace];
        stage.control_plane.run_kubectl(&rights)?;
        let (with, to) = (format!("--role={role}"), format!("--user={user}"));
        stage.control_plane.run_kubectl(&["create", "rolebinding", &role, &with, &to, namespace])?;
        eventually("the user may read the Secret", SOON, async || Ok(probe().await.then_some(()))).await
    }

    #[tokio::test]
    async fn only_who_may_read_a_secret_lends_it_or_lets_it_go_elsewhere() -> Result<()> {
        let user = writer("lender").await?;
        let lent = nobodys("lent", &json!([entry("crm", "org-app", &["login.example.com"])]));
        let words = "spec.defaults needs the right to get secret \"org-app\" in namespace \"liaison-system\"";
        refused(create(&user, "", &lent).await, words);
        may_read("lender", "org-app", async || create(&user, "", &lent).await.is_ok()).await?;

        let other = writer("other").await?;
        let defaults = |entries: Value| json!({ "spec": { "defaults": entries } });
        let mut itself = entry("crm", "org-app", &["login.example.com"]);
        itself["authTypes"] = json!(["OAuth2ClientCredentials"]);
        for elsewhere in [
            entry("crm", "org-app", &["login.example.com", "evil.example"]),
            entry("evil", "org-app", &["login.example.com"]),
            itself,
        ] {
            refused(patch(&other, "", &lent, defaults(json!([elsewhere]))).await, words);
        }
        let second = entry("wiki", "org-wiki", &["wiki.example.com"]);
        let both = json!([entry("crm", "org-app", &["login.example.com"]), second]);
        let words = "spec.defaults needs the right to get secret \"org-wiki\" in namespace";
        refused(patch(&user, "", &lent, defaults(both)).await, words);
        let credentials = json!([{
            "connector": "mail", "credentials": { "secretRef": { "name": "org-key" } }, "allowedHosts": ["mail.example.com"],
        }]);
        let words = "spec.defaults needs the right to get secret \"org-key\" in namespace";
        refused(create(&user, "", &nobodys("keys", &credentials)).await, words);

        let stricter = json!({ "spec": { "enforcement": "Suspend", "connectors": { "deny": ["x"] } } });
        patch(&other, "", &lent, stricter).await.map_err(Error::msg)?;
        patch(&other, "", &lent, defaults(json!([]))).await.map_err(Error::msg)?;
        Ok(())
    }

    #[tokio::test]
    async fn each_of_many_secrets_is_asked_about_and_more_than_that_need_the_right_to_all() -> Result<()> {
        let many = |count: usize| {
            let entries =
                (0..count).map(|at| entry(&format!("c{at}"), &format!("s{at}"), &["x.example.com"]));
            nobodys(&format!("many-{count}"), &entries.collect())
        };
        let administrator = Stage::shared()?.control_plane.client().await?;
        create(&administrator, "", &many(16)).await.map_err(Error::msg)?;
        create(&administrator, "", &many(40)).await.map_err(Error::msg)?;

        let user = writer("collector").await?;
        refused(
            create(&user, "", &many(17)).await,
            "names more than 16 Secrets that are new or go elsewhere",
        );
        let secrets: Vec<String> = (0..15).map(|at| format!("s{at}")).collect();
        let (last, others) =
            secrets.split_last().map(|(last, others)| (last.clone(), others)).unwrap_or_default();
        let stage = Stage::shared()?;
        let named: Vec<String> = others.iter().map(|name| format!("--resource-name={name}")).collect();
        let mut role =
            vec!["create", "role", "some", "--verb=get", "--resource=secrets", "--namespace=liaison-system"];
        role.extend(named.iter().map(String::as_str));
        stage.control_plane.run_kubectl(&role)?;
        let bind = [
            "create",
            "rolebinding",
            "some",
            "--role=some",
            "--user=collector",
            "--namespace=liaison-system",
        ];
        stage.control_plane.run_kubectl(&bind)?;
        eventually("the rights count", SOON, async || Ok(create(&user, "", &many(14)).await.ok())).await?;
        refused(create(&user, "", &many(15)).await, &format!("needs the right to get secret \"{last}\""));
        Ok(())
    }

    fn connector(name: &str) -> Value {
        json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Connector", "metadata": { "name": name },
            "spec": {
                "displayName": "An application", "redirect": "PerConnection", "baseURL": "https://{site}.example.com",
                "parameters": [{ "name": "site", "required": true, "pattern": "[a-z]+" }],
                "authMethods": [
                    { "type": "APIKey", "request": { "headers": { "X-Key": "{apiKey}" } } },
                    { "type": "OAuth2Password", "oauth2": { "tokenURL": "https://login.example.com/token" } },
                ],
            },
        })
    }

    fn with_key(site: &str) -> Value {
        json!({
            "connectorRef": { "name": "governed" }, "authType": "APIKey", "parameters": { "site": site },
            "credentials": { "secretRef": { "name": "key" } },
        })
    }

    #[tokio::test]
    async fn n44_what_a_policy_denies_is_refused_at_once_and_what_was_there_can_still_be_changed()
    -> Result<()> {
        let administrator = Stage::shared()?.control_plane.client().await?;
        create(&administrator, "", &connector("governed")).await.map_err(Error::msg)?;
        let folder = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": "governed" },
            "spec": { "displayName": "Governed", "type": "Shared" },
        });
        create(&administrator, "", &folder).await.map_err(Error::msg)?;
        let old = connection("old", &with_key("a"));
        eventually("the folder has its namespace", SOON, async || {
            Ok(create(&administrator, "governed", &old).await.ok())
        })
        .await?;
        let password = json!({ "connectorRef": { "name": "governed" }, "authType": "OAuth2Password" });
        let words = "no policy allows the password grant, which authType \"OAuth2Password\" uses";
        refused(create(&administrator, "governed", &connection("p", &password)).await, words);

        let spec = json!({ "folders": { "names": ["governed"] }, "connectors": { "deny": ["governed"] } });
        let denial = policy("denial", &spec);
        create(&administrator, "", &denial).await.map_err(Error::msg)?;
        let words = "connector \"governed\" is disabled by policy \"denial\"; ask its administrator";
        let fresh = connection("fresh", &with_key("a"));
        eventually("new ones are refused", SOON, async || {
            let answer = create(&administrator, "governed", &fresh).await;
            if answer.is_ok() {
                delete(&administrator, "governed", &fresh).await.map_err(Error::msg)?;
            }
            Ok(answer.is_err_and(|text| text.contains(words)).then_some(()))
        })
        .await?;
        for change in [
            json!({ "spec": { "suspend": true, "description": "why" } }),
            json!({ "metadata": { "labels": { "a": "b" } } }),
        ] {
            patch(&administrator, "governed", &old, change).await.map_err(Error::msg)?;
        }
        let hosts = json!({ "spec": { "connectors": null, "allowedHosts": ["a.example.com"] } });
        patch(&administrator, "", &denial, hosts).await.map_err(Error::msg)?;
        let words =
            "policy \"denial\" does not allow to send credentials to \"b.example.com\" (api requests)";
        let moved = json!({ "spec": { "parameters": { "site": "b" } } });
        refused(patch(&administrator, "governed", &old, moved).await, words);
        create(&administrator, "governed", &fresh).await.map_err(Error::msg)?;
        Ok(())
    }
}
