//! The chart as a user installs it, on a real node: containerd, kubelet, scheduler and kube-proxy, with Pods, Services,
//! probes, hooks and port forwarding as everywhere else. Needs root on Linux; `tests/node/install --check` tells why a
//! machine cannot run it.

#[path = "../support/mod.rs"]
mod support;

mod machine;
mod node;
mod person;
mod process;
mod provider;
mod release;
mod workload;

use std::time::Duration;

use anyhow::Result;

use crate::machine::Machine;
use crate::node::Node;
use crate::person::Person;
use crate::provider::Provider;
use crate::release::Release;
use crate::support::control_plane::ControlPlane;
use crate::support::run_directory::RunDirectory;

/// Of the whole story on a slow machine.
const STORY: Duration = Duration::from_mins(8);

#[tokio::test]
async fn the_chart_as_a_user_installs_it_works_on_a_real_node() -> Result<()> {
    let machine = Machine::start("machine", "10.250.0.1/24", &Machine::test("the_life_of_a_release")?)?;
    machine.succeeds(STORY).await
}

#[tokio::test]
async fn a_machine_that_is_killed_leaves_nothing_behind() -> Result<()> {
    machine::leaves_nothing_behind_when_killed().await
}

#[tokio::test]
#[ignore = "runs on the machine that another test makes for it"]
async fn the_life_of_a_release() -> Result<()> {
    let control_plane = ControlPlane::start(RunDirectory::take("node")?, &Node::options()).await?;
    let _node = Node::start(&control_plane).await?;
    let provider = Provider::start(&control_plane).await?;

    let release = Release::new(&control_plane, &provider);
    release.is_installed_and_its_pod_gets_ready().await?;
    release.refuses_in_our_words_through_the_service().await?;
    let person = Person::new(&control_plane)?;
    person.is_told_what_stands_in_the_way().await?;
    person.connects_through_a_port_that_the_plugin_forwards().await?;
    process::is_bound_and_calls_the_application(&control_plane)?;
    workload::asks_without_a_secret_and_calls_the_application(&control_plane)?;
    workload::is_refused_with_a_token_that_is_bound_to_no_pod(&control_plane).await?;
    person.connects_while_the_port_is_forwarded_already().await?;
    release.is_upgraded_and_its_pod_replaced().await?;
    person.connects_though_the_pods_are_replaced_meanwhile().await?;
    release.is_uninstalled_and_lets_go_of_everything()?;
    release.is_installed_again_and_goes_on(&person)
}

#[tokio::test]
#[ignore = "runs in a Pod that another test makes for it"]
async fn what_a_workload_does() -> Result<()> {
    process::calls_the_application().await
}
