//! A Connection that processes use is deleted only by somebody who has said its name.

/// Installs policies for the whole cluster, and has no operator: what the status says stands.
mod own_control_plane {
    use std::time::Duration;

    use anyhow::{Context as _, Error, Result};
    use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
    use kube::{Api, Client, ResourceExt};
    use liaison::api::Connection;
    use liaison::api::connection::ConsumersStatus;
    use liaison::domain::consumers::deletion_refused;
    use serde_json::{Value, json};

    use super::super::{connection, create, delete, patch, refused, user};
    use crate::support::control_plane::{ControlPlane, Options};
    use crate::support::installation::{AdmissionPort, apply_rendered};
    use crate::support::run_directory::RunDirectory;
    use crate::support::waiting::{SOON, eventually};

    /// Makes a Connection that is used like this.
    async fn used(client: &Client, namespace: &str, name: &str, consumers: &ConsumersStatus) -> Result<()> {
        create(client, namespace, &connection(name, &json!({}))).await.map_err(Error::msg)?;
        let connections: Api<Connection> = Api::namespaced(client.clone(), namespace);
        let status = Patch::Merge(json!({ "status": { "consumers": consumers } }));
        connections.patch_status(name, &PatchParams::default(), &status).await?;
        Ok(())
    }

    fn consumers(names: &[&str], unnamed: i64, elsewhere: i64) -> ConsumersStatus {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        ConsumersStatus {
            count: i64::try_from(names.len()).unwrap_or(0) + unnamed + elsewhere,
            names,
            elsewhere,
        }
    }

    fn confirming(name: &str) -> Value {
        json!({ "metadata": { "annotations": { "liaison.dev/confirm-delete": name } } })
    }

    async fn start() -> Result<ControlPlane> {
        let control_plane = ControlPlane::start(RunDirectory::take("in-use")?, &Options::with_crds()).await?;
        apply_rendered(&control_plane, "user-roles", &["--show-only=templates/user-roles.yaml"])?;
        AdmissionPort::take()?.install(&control_plane)?;
        let client = control_plane.client().await?;
        control_plane.run_kubectl(&["create", "namespace", "probes"])?;
        used(&client, "probes", "probe", &consumers(&[], 0, 1)).await?;
        // The API server learns of policies a moment after they were applied.
        eventually("the policy is at work", SOON, async || {
            let probe = DeleteParams { dry_run: true, ..DeleteParams::default() };
            let connections: Api<Connection> = Api::namespaced(client.clone(), "probes");
            let answer = connections.delete("probe", &probe).await;
            Ok(answer.is_err_and(|error| error.to_string().contains("is used by")).then_some(()))
        })
        .await?;
        Ok(control_plane)
    }

    #[tokio::test]
    async fn n24_a_connection_that_processes_use_goes_only_with_its_name_confirmed() -> Result<()> {
        let control_plane = start().await?;
        let administrator = control_plane.client().await?;
        a_person_is_told_who_would_break_and_confirms(&control_plane, &administrator).await?;
        a_collection_stops_at_what_is_used(&control_plane, &administrator).await?;
        what_belongs_to_something_that_is_gone_goes_too(&control_plane, &administrator).await?;
        a_namespace_takes_what_is_used_with_it(&control_plane, &administrator).await?;
        a_person_clears_a_namespace_that_is_going(&control_plane, &administrator).await
    }

    async fn a_person_is_told_who_would_break_and_confirms(
        control_plane: &ControlPlane,
        administrator: &Client,
    ) -> Result<()> {
        let ada = user(control_plane, "team", &["liaison-connection-user"]).await?;
        let cases = [
            ("all", consumers(&["report", "sync"], 7, 2)),
            ("named", consumers(&["report"], 0, 0)),
            ("elsewhere", consumers(&[], 0, 3)),
        ];
        for (name, consumers) in &cases {
            used(administrator, "team", name, consumers).await?;
            let words = deletion_refused("team", name, Some(consumers)).context("words")?;
            let object = connection(name, &json!({}));
            refused(delete(&ada, "team", &object).await, &words);
            refused(delete(administrator, "team", &object).await, &words);
            for wrong in ["yes", ""] {
                patch(&ada, "team", &object, confirming(wrong)).await.map_err(Error::msg)?;
                refused(delete(&ada, "team", &object).await, &words);
            }
            patch(&ada, "team", &object, confirming(name)).await.map_err(Error::msg)?;
            delete(&ada, "team", &object).await.map_err(Error::msg)?;
        }
        create(administrator, "team", &connection("free", &json!({}))).await.map_err(Error::msg)?;
        delete(&ada, "team", &connection("free", &json!({}))).await.map_err(Error::msg)
    }

    async fn a_collection_stops_at_what_is_used(
        control_plane: &ControlPlane,
        administrator: &Client,
    ) -> Result<()> {
        control_plane.run_kubectl(&["create", "namespace", "collected"])?;
        let consumers = consumers(&["report"], 0, 0);
        used(administrator, "collected", "used", &consumers).await?;
        create(administrator, "collected", &connection("free", &json!({}))).await.map_err(Error::msg)?;
        let connections: Api<Connection> = Api::namespaced(administrator.clone(), "collected");
        let all = ListParams::default();
        let answer = connections.delete_collection(&DeleteParams::default(), &all).await;
        let words = deletion_refused("collected", "used", Some(&consumers)).context("words")?;
        refused(answer.map(|_| "deleted").map_err(|error| error.to_string()), &words);
        assert!(connections.get_opt("used").await?.is_some());

        patch(administrator, "collected", &connection("used", &json!({})), confirming("used"))
            .await
            .map_err(Error::msg)?;
        connections.delete_collection(&DeleteParams::default(), &all).await?;
        eventually("all are gone", SOON, async || {
            Ok(connections.list(&all).await?.items.is_empty().then_some(()))
        })
        .await
    }

    async fn what_belongs_to_something_that_is_gone_goes_too(
        control_plane: &ControlPlane,
        administrator: &Client,
    ) -> Result<()> {
        control_plane.run_kubectl(&["create", "namespace", "owned"])?;
        let owner = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "owner" } });
        let made = create(administrator, "owned", &owner).await.map_err(Error::msg)?;
        used(administrator, "owned", "owned", &consumers(&["report"], 0, 0)).await?;
        let references = json!({ "metadata": { "ownerReferences": [{
            "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": made.uid().context("a uid")?,
        }] } });
        patch(administrator, "owned", &connection("owned", &json!({})), references)
            .await
            .map_err(Error::msg)?;
        delete(administrator, "owned", &owner).await.map_err(Error::msg)?;
        let connections: Api<Connection> = Api::namespaced(administrator.clone(), "owned");
        eventually("the garbage collector has deleted it", Duration::from_mins(1), async || {
            Ok(connections.get_opt("owned").await?.is_none().then_some(()))
        })
        .await
    }

    /// The cleaners are kept from it meanwhile, or they would be faster.
    async fn a_person_clears_a_namespace_that_is_going(
        control_plane: &ControlPlane,
        administrator: &Client,
    ) -> Result<()> {
        let ada = user(control_plane, "stuck", &["liaison-connection-user"]).await?;
        let consumers = consumers(&["report"], 0, 0);
        used(administrator, "stuck", "crm", &consumers).await?;
        let group = "admissionregistration.k8s.io/v1";
        let policy = json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": { "name": "stuck" },
            "spec": {
                "matchConstraints": { "resourceRules": [{
                    "apiGroups": ["liaison.dev"], "apiVersions": ["*"], "operations": ["DELETE"],
                    "resources": ["connections"],
                }] },
                "validations": [{
                    "expression": "request.namespace != 'stuck' || !request.userInfo.username.startsWith('system:')",
                    "message": "held by the test",
                }],
            },
        });
        let binding = json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": "stuck" },
            "spec": { "policyName": "stuck", "validationActions": ["Deny"] },
        });
        for object in [&policy, &binding] {
            create(administrator, "", object).await.map_err(Error::msg)?;
        }
        let cleaner = "system:serviceaccount:kube-system:namespace-controller";
        let cleaner = control_plane.client_as(cleaner, &["system:masters"]).await?;
        let probed: Api<Connection> = Api::namespaced(cleaner, "stuck");
        let rehearsal = DeleteParams { dry_run: true, ..DeleteParams::default() };
        eventually("the cleaners are held", SOON, async || {
            let answer = probed.delete("crm", &rehearsal).await;
            Ok(answer.is_err_and(|error| error.to_string().contains("held by the test")).then_some(()))
        })
        .await?;

        let object = connection("crm", &json!({}));
        let words = deletion_refused("stuck", "crm", Some(&consumers)).context("words")?;
        refused(delete(&ada, "stuck", &object).await, &words);
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "stuck" } });
        delete(administrator, "", &namespace).await.map_err(Error::msg)?;
        // The API server learns a moment later that the namespace is going.
        eventually("a person may clear it", SOON, async || Ok(delete(&ada, "stuck", &object).await.ok()))
            .await?;
        for object in [&binding, &policy] {
            delete(administrator, "", object).await.map_err(Error::msg)?;
        }
        Ok(())
    }

    async fn a_namespace_takes_what_is_used_with_it(
        control_plane: &ControlPlane,
        administrator: &Client,
    ) -> Result<()> {
        control_plane.run_kubectl(&["create", "namespace", "going"])?;
        used(administrator, "going", "used", &consumers(&["report"], 0, 2)).await?;
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "going" } });
        delete(administrator, "", &object).await.map_err(Error::msg)?;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(administrator.clone());
        eventually("the namespace is gone with its connection", Duration::from_mins(1), async || {
            Ok(namespaces.get_opt("going").await?.is_none().then_some(()))
        })
        .await
    }
}
