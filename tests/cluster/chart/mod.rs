//! The chart: what it renders, what a real API server makes of it, and what its roles allow.

mod install;
mod render;
mod rights;
mod roles;
mod some_namespaces;
mod users;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde_json::Value;

use crate::support::control_plane::{ControlPlane, output_of};
use crate::support::installation::{RELEASE, helm};

/// Runs Helm against a cluster.
fn helm_in(control_plane: &ControlPlane, arguments: &[&str]) -> Result<String> {
    output_of(control_plane.direct(&mut helm(arguments)?))
}

/// What the chart renders for the namespace `liaison-system`.
fn render(arguments: &[&str]) -> Result<Vec<Value>> {
    let template = ["template", RELEASE, "charts/liaison", "--namespace=liaison-system"];
    parse(&output_of(&mut helm(&[&template, arguments].concat())?)?)
}

/// The documents of a YAML stream that are not empty.
fn parse(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    let documents = documents.collect::<Result<Vec<_>, _>>()?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one object of a kind with this name.
fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.with_context(|| format!("{kind} `{name}` in what the chart renders"))
}

/// Names of the objects of a kind.
fn names<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a str> {
    of_kind(objects, kind).iter().filter_map(|object| object["metadata"]["name"].as_str()).collect()
}

/// A namespace with a name that the server makes up.
async fn new_namespace(client: &Client) -> Result<String> {
    let metadata = ObjectMeta { generate_name: Some("chart-".to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Ok(Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?.name_any())
}
