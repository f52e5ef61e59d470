//! What the chart renders, without a cluster.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use clap::{ArgAction, Args};
use liaison::runtime::Settings;
use serde_json::{Value, json};

use super::{RELEASE, helm, names, object, of_kind, parse, render};
use crate::support::control_plane::output_of;
use crate::support::repository;

#[test]
fn helm_finds_nothing_to_complain_about() -> Result<()> {
    output_of(&mut helm(&["lint", "--strict", "charts/liaison"])?).map(drop)
}

#[rstest::rstest]
#[case("replica=2")]
#[case("image.name=x")]
#[case("networkPolicy.egress.rule=x")]
#[case("replicas=two")]
#[case("image.digest=sha256:abc")]
#[case("publicURL=ftp://liaison.example.com")]
#[case("refreshFraction=2")]
#[case("namespaces={Team}")]
fn a_value_that_the_chart_does_not_know_is_refused(#[case] value: &str) {
    let error = render(&["--set", value]).expect_err("it is refused").to_string();
    let key = value.split(['=', '.']).next().unwrap_or_default();
    assert!(error.contains("schema") && error.contains(key), "{error}");
}

#[test]
fn every_value_has_a_schema_and_a_default() -> Result<()> {
    let read = |file| std::fs::read_to_string(repository().join("charts/liaison").join(file));
    let schema: Value = serde_json::from_str(&read("values.schema.json")?)?;
    let values: Value = serde_yaml::from_str(&read("values.yaml")?)?;
    same_keys("", &schema, &values)
}

fn same_keys(path: &str, schema: &Value, values: &Value) -> Result<()> {
    let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
    assert_eq!(schema["additionalProperties"], false, "{path} takes any key");
    let known: BTreeSet<_> = properties.keys().filter(|key| *key != "global").collect();
    let values = values.as_object().with_context(|| format!("values of {path}"))?;
    assert_eq!(known, values.keys().collect(), "{path}");
    for key in known {
        same_keys(&format!("{path}.{key}"), &properties[key], &values[key])?;
    }
    Ok(())
}

#[test]
fn the_chart_carries_the_same_crds_as_the_crds_folder() -> Result<()> {
    let kept = render(&[])?;
    let let_go = render(&["--set=crds.keep=false"])?;
    let folder = std::fs::read_dir(repository().join("crds"))?;
    let files = folder.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    assert_eq!(of_kind(&kept, "CustomResourceDefinition").len(), files.len());
    for file in files {
        let crd: Value = serde_yaml::from_str(&std::fs::read_to_string(&file)?)?;
        let name = crd["metadata"]["name"].as_str().context("name")?;
        let copy = object(&kept, "CustomResourceDefinition", name)?;
        assert_eq!(copy["spec"], crd["spec"], "{name}");
        assert_eq!(copy["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{name}");
        let copy = object(&let_go, "CustomResourceDefinition", name)?;
        assert_eq!(copy["metadata"]["annotations"], Value::Null, "{name}");
    }
    assert!(names(&render(&["--set=crds.enabled=false"])?, "CustomResourceDefinition").is_empty());
    Ok(())
}

fn container(objects: &[Value]) -> Result<&Value> {
    Ok(&object(objects, "Deployment", RELEASE)?["spec"]["template"]["spec"]["containers"][0])
}

#[test]
fn every_setting_of_the_operator_is_one_of_the_values() -> Result<()> {
    let values = json!({ "provider": {
        "egressExceptions": ["provider.example.com:8443", "other.example.com:80"], "deniedNetworks": ["10.0.0.0/8"],
        "egressAddresses": ["192.0.2.1", "192.0.2.2"], "ca": { "secretName": "authorities" },
    }});
    let some = "--set=namespaces={team-a,team-b}";
    let objects = render(&["--set-json", &format!("provider={}", values["provider"]), some])?;
    let environment = container(&objects)?["env"].as_array().context("environment")?;
    let set: BTreeMap<_, _> = environment
        .iter()
        .map(|variable| {
            (variable["name"].as_str().unwrap_or_default(), variable["value"].as_str().unwrap_or("x"))
        })
        .collect();

    let command = Settings::augment_args(clap::Command::new("run"));
    let mut known = BTreeSet::new();
    let mut flags = vec!["run".to_owned()];
    for argument in command.get_arguments() {
        let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
        known.insert(variable);
        if let (ArgAction::Set | ArgAction::Append, Some(value)) = (argument.get_action(), set.get(variable))
        {
            flags.push(format!("--{}={value}", argument.get_long().unwrap_or_default()));
        }
    }
    assert_eq!(known, set.keys().copied().collect());
    command.clone().try_get_matches_from(flags)?;
    Ok(())
}

#[test]
fn the_variables_of_services_do_not_reach_the_pods() -> Result<()> {
    let objects = render(&[])?;
    for kind in ["Deployment", "Job"] {
        for object in of_kind(&objects, kind) {
            assert_eq!(object["spec"]["template"]["spec"]["enableServiceLinks"], false, "{kind}");
        }
    }
    Ok(())
}

#[test]
fn a_digest_pins_the_image_of_every_pod() -> Result<()> {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let objects = render(&["--set", &format!("image.registry=images.example.com,image.digest={digest}")])?;
    let image = format!("images.example.com/liaison:{}@{digest}", env!("CARGO_PKG_VERSION"));
    assert_eq!(container(&objects)?["image"], image.as_str());
    let job = object(&objects, "Job", "liaison-uninstall")?;
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["image"], image.as_str());
    Ok(())
}

#[test]
fn the_public_service_leads_to_the_public_listener_alone() -> Result<()> {
    let objects = render(&[])?;
    let targets = |name| -> Result<Vec<String>> {
        let ports = object(&objects, "Service", name)?["spec"]["ports"].as_array().context("ports")?;
        Ok(ports.iter().filter_map(|port| port["targetPort"].as_str().map(ToOwned::to_owned)).collect())
    };
    assert_eq!(names(&objects, "Service").len(), 4);
    assert_eq!(targets("liaison-token")?, ["token"]);
    assert_eq!(targets("liaison-admission")?, ["admission"]);
    assert_eq!(targets("liaison")?, ["public"]);
    assert_eq!(targets("liaison-internal")?, ["internal"]);
    let ports = &container(&objects)?["ports"];
    assert_eq!(
        *ports,
        json!([
            {"name": "public", "containerPort": 8400},
            {"name": "internal", "containerPort": 8401},
            {"name": "admission", "containerPort": 8443},
            {"name": "token", "containerPort": 8444},
        ])
    );
    Ok(())
}

#[test]
fn a_disruption_budget_comes_with_the_second_replica() -> Result<()> {
    assert!(names(&render(&[])?, "PodDisruptionBudget").is_empty());
    let objects = render(&["--set=replicas=2"])?;
    let budget = object(&objects, "PodDisruptionBudget", RELEASE)?;
    let deployment = object(&objects, "Deployment", RELEASE)?;
    assert_eq!(budget["spec"]["selector"], deployment["spec"]["selector"]);
    Ok(())
}

#[test]
fn kinds_of_others_are_rendered_only_where_the_cluster_knows_them() -> Result<()> {
    let on = "--set=serviceMonitor.enabled=true,httpRoute.enabled=true,httpRoute.parentRefs[0].name=gateway";
    let objects = render(&[on])?;
    assert!(names(&objects, "ServiceMonitor").is_empty() && names(&objects, "HTTPRoute").is_empty());

    let known =
        "--api-versions=monitoring.coreos.com/v1/ServiceMonitor,gateway.networking.k8s.io/v1/HTTPRoute";
    let objects = render(&[on, known])?;
    assert_eq!(object(&objects, "ServiceMonitor", RELEASE)?["spec"]["endpoints"][0]["port"], "internal");
    let monitored = &object(&objects, "ServiceMonitor", RELEASE)?["spec"]["selector"]["matchLabels"];
    for (service, expected) in [("liaison", false), ("liaison-internal", true)] {
        let labels = &object(&objects, "Service", service)?["metadata"]["labels"];
        let wanted = monitored.as_object().context("labels")?;
        assert_eq!(wanted.iter().all(|(key, value)| labels[key] == *value), expected, "{service}");
    }
    assert_eq!(names(&objects, "HTTPRoute"), [RELEASE]);
    Ok(())
}

#[test]
fn network_policies_treat_the_listeners_apart() -> Result<()> {
    let from =
        r#"networkPolicy={"enabled":true,"internalFrom":[{"podSelector":{}}],"egress":{"enabled":true}}"#;
    let objects = render(&["--set-json", from])?;
    let mut policies = names(&objects, "NetworkPolicy");
    policies.sort_unstable();
    assert_eq!(
        policies,
        ["liaison-admission", "liaison-egress", "liaison-internal", "liaison-public", "liaison-token"]
    );
    let ingress =
        |name| Ok::<_, anyhow::Error>(&object(&objects, "NetworkPolicy", name)?["spec"]["ingress"][0]);
    assert_eq!(ingress("liaison-public")?["from"], Value::Null);
    assert_eq!(ingress("liaison-internal")?["from"], json!([{"podSelector": {}}]));
    Ok(())
}

#[test]
fn s16_the_addresses_that_requests_come_from_are_published_as_the_values_name_them() -> Result<()> {
    let objects = render(&["--set-json", r#"provider.egressAddresses=["192.0.2.1","2001:db8::/64"]"#])?;
    let published = object(&objects, "ConfigMap", "liaison-egress-addresses")?;
    assert_eq!(published["data"]["addresses"], "192.0.2.1\n2001:db8::/64\n");
    let unknown = render(&[])?;
    assert!(!names(&unknown, "ConfigMap").contains(&"liaison-egress-addresses"), "nothing is made up");

    let outgoing = render(&["--set-json", r#"networkPolicy={"enabled":true,"egress":{"enabled":true}}"#])?;
    let sample = &object(&outgoing, "NetworkPolicy", "liaison-egress")?["spec"];
    assert_eq!(sample["policyTypes"], json!(["Egress"]));
    assert!(sample["egress"].to_string().contains("169.254.0.0/16"), "{sample}");
    Ok(())
}

/// `clientConfig` of each webhook.
fn clients(objects: &[Value]) -> Vec<Value> {
    let webhooks = objects.iter().filter_map(|object| object["webhooks"].as_array()).flatten();
    webhooks.map(|webhook| webhook["clientConfig"].clone()).collect()
}

#[test]
fn the_api_server_asks_by_the_service_or_by_the_address_of_the_values() -> Result<()> {
    let objects = render(&[])?;
    let service =
        json!({"namespace": "liaison-system", "name": "liaison-admission", "path": "/admission/folders"});
    assert!(clients(&objects).contains(&json!({ "service": service })), "{:?}", clients(&objects));
    let variable = |objects: &[Value], name: &str| -> Result<Value> {
        let environment = container(objects)?["env"].as_array().context("environment")?.clone();
        let found = environment.into_iter().find(|variable| variable["name"] == name);
        Ok(found.context("variable")?["value"].clone())
    };
    assert_eq!(variable(&objects, "LIAISON_ADMISSION_HOSTS")?, "liaison-admission.liaison-system.svc");
    assert_eq!(variable(&objects, "LIAISON_ADMISSION_CONFIGURATION")?, "liaison");

    let by_url = render(&["--set=admission.url=https://admission.example.com:9443/"])?;
    let url = json!({ "url": "https://admission.example.com:9443/admission/folders" });
    assert!(clients(&by_url).contains(&url), "{:?}", clients(&by_url));
    assert_eq!(variable(&by_url, "LIAISON_ADMISSION_HOSTS")?, "admission.example.com");
    assert_eq!(names(&by_url, "Service").len(), 3);

    let off = render(&["--set=admission.enabled=false"])?;
    assert_eq!(variable(&off, "LIAISON_ADMISSION_CONFIGURATION")?, "");
    assert!(clients(&off).is_empty() && names(&off, "ValidatingAdmissionPolicy").is_empty());
    assert_eq!(names(&off, "Service").len(), 3);
    Ok(())
}

#[test]
fn workloads_reach_the_token_endpoint_by_its_service_and_learn_whom_to_trust() -> Result<()> {
    let objects = render(&["--set=tokenEndpoint.hosts={tokens.example.com},tokenEndpoint.audience=ours"])?;
    let variable = |objects: &[Value], name: &str| -> Result<Value> {
        let environment = container(objects)?["env"].as_array().context("environment")?.clone();
        let found = environment.into_iter().find(|variable| variable["name"] == name);
        Ok(found.context("variable")?["value"].clone())
    };
    let hosts = "liaison-token.liaison-system.svc,liaison-token.liaison-system,tokens.example.com";
    assert_eq!(variable(&objects, "LIAISON_TOKEN_HOSTS")?, hosts);
    assert_eq!(variable(&objects, "LIAISON_TOKEN_AUDIENCE")?, "ours");
    // The operator writes it; an upgrade must not take it away again.
    assert_eq!(object(&objects, "ConfigMap", "liaison-token-ca")?.get("data"), None);

    let off = render(&["--set=tokenEndpoint.enabled=false"])?;
    assert_eq!(variable(&off, "LIAISON_TOKEN_HOSTS")?, "");
    assert!(!names(&off, "Service").contains(&"liaison-token"));
    assert!(!names(&off, "Role").contains(&"liaison-token-ca"));
    assert!(!names(&off, "ConfigMap").contains(&"liaison-token-ca"));
    Ok(())
}

#[test]
fn what_the_program_prints_is_what_the_chart_installs() -> Result<()> {
    let mut print = std::process::Command::new(env!("CARGO_BIN_EXE_liaison"));
    let printed = parse(&output_of(print.args(["manifests", "--admission-url=https://127.0.0.1:8443"]))?)?;
    let rendered = render(&["--set=admission.url=https://127.0.0.1:8443"])?;
    for printed in &printed {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&printed["kind"]), text(&printed["metadata"]["name"]));
        let rendered = object(&rendered, &kind, &name)?;
        assert_eq!(
            (&printed["spec"], &printed["webhooks"]),
            (&rendered["spec"], &rendered["webhooks"]),
            "{kind} {name}"
        );
    }
    let ours = |kind: &&str| {
        kind.starts_with("Validating") || kind.starts_with("Mutating") || kind.starts_with("CustomR")
    };
    let kinds =
        |objects: &[Value]| objects.iter().filter_map(|object| object["kind"].as_str()).filter(ours).count();
    assert_eq!(kinds(&printed), kinds(&rendered));
    Ok(())
}

#[test]
fn people_read_where_to_go_next() -> Result<()> {
    let template = ["install", RELEASE, "charts/liaison", "--namespace=liaison-system"];
    let notes =
        |values: &[&str]| output_of(&mut helm(&[&template[..], &["--dry-run=client"], values].concat())?);
    let local = notes(&[])?;
    assert!(local.contains("port-forward service/liaison 8400:8400"), "{local}");
    let public = notes(&["--set=publicURL=https://liaison.example.com,ingress.enabled=true"])?;
    assert!(public.contains("Browsers reach it at https://liaison.example.com"), "{public}");
    assert!(!public.contains("port-forward"), "{public}");
    let manifest = public.split("MANIFEST:").nth(1).and_then(|rest| rest.split("NOTES:").next());
    let objects = parse(manifest.context("manifest")?)?;
    let ingress = object(&objects, "Ingress", RELEASE)?;
    assert_eq!(ingress["spec"]["rules"][0]["host"], "liaison.example.com");
    assert_eq!(ingress["spec"]["tls"][0]["hosts"][0], "liaison.example.com");
    Ok(())
}
