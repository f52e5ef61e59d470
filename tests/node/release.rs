//! The life of a release: installed, asked, upgraded, uninstalled and installed again, with the chart's defaults.

use anyhow::{Context, Result, ensure};

use crate::person::Person;
use crate::provider::Provider;
use crate::support::control_plane::{ControlPlane, output_of};
use crate::support::installation::{RELEASE, helm};
use crate::support::waiting::{SOON, eventually};

pub(crate) const NAMESPACE: &str = "liaison-system";
pub(crate) const TEAM: &str = "team-node";

const CLUSTER_ADDRESS: &str = "--output=jsonpath={.spec.clusterIP}";

pub(crate) struct Release<'a> {
    control_plane: &'a ControlPlane,
    exception: String,
    team: String,
}

impl<'a> Release<'a> {
    pub(crate) fn new(control_plane: &'a ControlPlane, provider: &Provider) -> Self {
        let exception = format!("--set={}", provider.exception());
        Self { control_plane, exception, team: provider.team() }
    }

    pub(crate) async fn is_installed_and_its_pod_gets_ready(&self) -> Result<()> {
        self.kubectl(&["create", "namespace", NAMESPACE])?;
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        self.kubectl(&["label", "namespace", NAMESPACE, restricted])?;
        self.helm("install", &[])?;
        // Helm has waited for it.
        ensure!(self.pods("{.items[*].status.conditions[?(@.type=='Ready')].status}")? == "True");
        ensure!(self.pods("{.items[*].status.containerStatuses[*].restartCount}")? == "0");
        ensure!(self.pods("{.items[*].spec.containers[*].image}")?.starts_with("localhost/liaison:"));
        let address = ["get", "service", "liaison-internal", "--namespace", NAMESPACE, CLUSTER_ADDRESS];
        let ready = format!("http://{}:8401/readyz", self.kubectl(&address)?);
        // kube-proxy takes a moment to learn of a new Pod.
        eventually("the Service answers", SOON, async || {
            let answer = reqwest::get(&ready).await.with_context(|| ready.clone())?;
            Ok(answer.status().is_success().then_some(()))
        })
        .await
    }

    /// The API server asks the operator by the Service of the chart, and a refusal has our words.
    pub(crate) async fn refuses_in_our_words_through_the_service(&self) -> Result<()> {
        let team = self.file("team", &self.team)?;
        // The folder makes the namespace that the rest is for.
        eventually("the team is applied", SOON, async || {
            self.kubectl(&["apply", "--server-side", "--filename", &team]).map(Some)
        })
        .await?;
        let reason = "{.status.conditions[?(@.type=='Ready')].reason}";
        let wait = ["wait", "connections", "--all", "--namespace", TEAM, "--timeout=30s"];
        self.kubectl(&[&wait[..], &[&format!("--for=jsonpath={reason}=AwaitingAuthentication")]].concat())?;
        self.refuses_what_is_unfit()
    }

    fn refuses_what_is_unfit(&self) -> Result<()> {
        let unfit = self.file("unfit", include_str!("unfit.yaml"))?;
        let refused = self.kubectl(&["create", "--dry-run=server", "--filename", &unfit]);
        let refused = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(
            refused.contains("admission webhook") && refused.contains("does not support authType"),
            "{refused}"
        );
        Ok(())
    }

    /// A changed value reaches a new Pod, which keeps what the old one has stored.
    pub(crate) async fn is_upgraded_and_its_pod_replaced(&self) -> Result<()> {
        let before = self.pods("{.items[*].metadata.name}")?;
        self.helm("upgrade", &["--set=verifyInterval=30m", "--set=replicas=2"])?;
        let setting = "{.items[*].spec.containers[0].env[?(@.name=='LIAISON_VERIFY_INTERVAL')].value}";
        eventually("the old Pod is gone", SOON, async || {
            let (names, settings) = (self.pods("{.items[*].metadata.name}")?, self.pods(setting)?);
            ensure!(!names.contains(&before) && settings == "30m 30m", "{names}: {settings}");
            Ok(Some(()))
        })
        .await?;
        self.connections_are_ready()?;
        self.refuses_what_is_unfit()
    }

    /// The hook is a Job with a Pod of its own, which has the rights that the chart gives it.
    pub(crate) fn is_uninstalled_and_lets_go_of_everything(&self) -> Result<()> {
        let finalizers = "--output=jsonpath={range .items[*]}{.kind}/{.metadata.name}: {.metadata.finalizers}{\"\\n\"}{end}";
        let held = self.kubectl(&["get", "connections,folders", "--namespace", TEAM, finalizers])?;
        ensure!(held.matches("liaison.dev/").count() == 3, "{held}");
        output_of(
            self.command(&["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=2m"])?
                .arg("--debug"),
        )?;
        let held = self.kubectl(&["get", "connections,folders", "--namespace", TEAM, finalizers])?;
        ensure!(held.lines().count() == 3 && !held.contains("liaison.dev/"), "{held}");
        let left = self.kubectl(&[
            "get",
            "deployments,jobs,services,serviceaccounts",
            "--namespace",
            NAMESPACE,
            "--output=name",
        ])?;
        ensure!(!left.contains("liaison"), "{left}");
        let webhooks =
            "validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies";
        let webhooks = self.kubectl(&["get", webhooks, "--output=name"])?;
        ensure!(!webhooks.contains("liaison"), "{webhooks}");
        let crds = self.kubectl(&["get", "crds", "--output=name"])?;
        ensure!(crds.lines().filter(|name| name.ends_with(".liaison.dev")).count() == 6, "{crds}");
        Ok(())
    }

    /// What stayed is taken up again, with the tokens that stayed.
    pub(crate) fn is_installed_again_and_goes_on(&self, person: &Person<'_>) -> Result<()> {
        self.helm("install", &[])?;
        person.verifies("first")?;
        person.verifies("second")?;
        self.connections_are_ready()
    }

    fn connections_are_ready(&self) -> Result<()> {
        let wait =
            ["wait", "--for=condition=Ready", "--timeout=30s", "connections", "--all", "--namespace", TEAM];
        self.kubectl(&wait).map(drop)
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.control_plane.run_kubectl(arguments)
    }

    /// Something about all Pods of the operator.
    fn pods(&self, path: &str) -> Result<String> {
        let path = format!("--output=jsonpath={path}");
        self.kubectl(&[
            "get",
            "pods",
            "--namespace",
            NAMESPACE,
            "--selector=app.kubernetes.io/component=operator",
            &path,
        ])
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.control_plane.directory().join(format!("{name}.yaml"));
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    fn command(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut helm = helm(arguments)?;
        self.control_plane.direct(&mut helm);
        Ok(helm)
    }

    /// The chart's defaults, and what the provider's address makes necessary; waits until everything works.
    fn helm(&self, verb: &str, options: &[&str]) -> Result<()> {
        let wait = ["--wait", "--timeout=2m", &self.exception];
        let release = [verb, RELEASE, "charts/liaison", "--namespace", NAMESPACE];
        output_of(&mut self.command(&[&release[..], &wait, options].concat())?).map(drop)
    }
}
