//! The generated parts of the chart: copies of the CRDs, and the operator's rights.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::cluster::access::{self, Access, Named};

use super::yaml;

/// The template that defines the operator's rights.
pub const ACCESS_PATH: &str = "charts/liaison/templates/_access.tpl";

/// The template that installs a CRD.
pub fn crd_path(crd: &CustomResourceDefinition) -> PathBuf {
    PathBuf::from(format!("charts/liaison/templates/crd-{}.yaml", crd.spec.names.plural))
}

/// A CRD as a template: with the chart's labels, and kept on uninstall if the values say so.
pub fn crd(crd: &CustomResourceDefinition) -> anyhow::Result<String> {
    let name = crd.name_any();
    let only_named = ObjectMeta { name: crd.metadata.name.clone(), ..ObjectMeta::default() };
    ensure!(crd.metadata == only_named, "the chart's copy of {name} would lose metadata");
    let spec = yaml::text(&json!({ "spec": crd.spec })).with_context(|| format!("write {name}"))?;
    Ok(format!(
        "{{{{- /* Made by `make generate` from src/api; do not edit. */}}}}
{{{{- if .Values.crds.enabled }}}}
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {name}
  labels:
    {{{{- include \"liaison.labels\" . | nindent 4 }}}}
  {{{{- if .Values.crds.keep }}}}
  annotations:
    helm.sh/resource-policy: keep
  {{{{- end }}}}
{}{{{{- end }}}}
",
        escaped(&spec)
    ))
}

/// The operator's rights as named templates, each a list of rules: where it works everywhere, and where in some
/// namespaces only.
pub fn access() -> anyhow::Result<String> {
    let tables = [
        ("cluster", access::CLUSTER.to_vec()),
        ("ownNamespace", access::OWN_NAMESPACE.to_vec()),
        ("some.cluster", access::in_the_cluster()),
        ("some.namespace", access::in_a_namespace()),
        ("some.ownNamespace", access::in_the_own_namespace()),
    ];
    let notice = "{{- /* Made by `make generate` from src/cluster/access.rs; do not edit. */}}\n".to_owned();
    tables.into_iter().try_fold(notice, |text, (name, table)| {
        let rules = rules(&table)?;
        Ok(text + &format!("{{{{- define \"liaison.rules.{name}\" -}}}}\n{rules}{{{{- end }}}}\n"))
    })
}

/// Stands for the names of namespaces until Helm knows them.
const SERVED: &str = "SERVED";

fn rules(table: &[Access]) -> anyhow::Result<String> {
    let rule = |access: &Access| {
        let mut rule =
            json!({ "apiGroups": [access.group], "resources": [access.resource], "verbs": access.verbs });
        match access.named {
            Named::Any => {}
            Named::Installation => rule["resourceNames"] = json!(["{{ include `liaison.fullname` . }}"]),
            Named::Exactly(name) => rule["resourceNames"] = json!([name]),
            Named::Served => rule["resourceNames"] = json!([SERVED]),
        }
        rule
    };
    let rules: Vec<Value> = table.iter().map(rule).collect();
    let text = serde_yaml::to_string(&rules).context("write the operator's rights")?;
    Ok(text.replace(&format!("\n  - {SERVED}"), "{{- range .Values.namespaces }}\n  - {{ . }}\n  {{- end }}"))
}

/// Text that comes out of Helm's templates as it is.
fn escaped(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_template_in_a_description_is_shown_as_it_is() {
        assert_eq!(escaped("as {{ .Name }}, or {name}"), "as {{ \"{{\" }} .Name }}, or {name}");
    }

    #[test]
    fn metadata_that_the_copy_would_lose_is_refused() {
        let mut definition = crate::api::crds::all().remove(0);
        definition.labels_mut().insert("a".to_owned(), "b".to_owned());
        assert!(crd(&definition).unwrap_err().to_string().contains("would lose metadata"));
    }
}
