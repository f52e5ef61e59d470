//! Admission's objects, written once in `admission.yaml`: the chart's template is made from it, and `liaison manifests`
//! prints it for clusters without Helm.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use url::Url;

use crate::api::crds;

use super::yaml;

const SOURCE: &str = include_str!("admission.yaml");

/// The template that installs admission's objects.
pub const CHART_PATH: &str = "charts/liaison/templates/admission.yaml";

/// Settings of `liaison manifests`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Name of the objects; `--admission-configuration` of the operator
    #[arg(long, default_value = "liaison")]
    pub name: String,

    /// The operator's own namespace
    #[arg(long, env = "LIAISON_NAMESPACE", default_value = "liaison-system")]
    pub namespace: String,

    /// The user as whom the operator acts; the `ServiceAccount` of that name in its namespace where nothing is said
    #[arg(long)]
    pub operator: Option<String>,

    /// Where the API server reaches the operator's listener for admission, such as `https://127.0.0.1:8443`. Without it, the
    /// Service NAME-admission of the namespace
    #[arg(long)]
    pub admission_url: Option<Url>,
}

/// The CRDs and admission's objects, as a YAML stream.
pub fn all(settings: &Settings) -> anyhow::Result<String> {
    let mut text = String::new();
    for crd in crds::all() {
        text.push_str("---\n");
        text.push_str(&yaml::text(&crd).context("write a CRD")?);
    }
    text.push_str("---\n");
    text.push_str(&admission(settings));
    Ok(text)
}

fn admission(settings: &Settings) -> String {
    let Settings { name, namespace, .. } = settings;
    let operator =
        settings.operator.clone().unwrap_or_else(|| format!("system:serviceaccount:{namespace}:{name}"));
    let labels = json!({ "app.kubernetes.io/part-of": "liaison", "app.kubernetes.io/name": "liaison" });
    let client = |path: &str| {
        let address = settings.admission_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
        let service = json!({ "namespace": namespace, "name": format!("{name}-admission"), "path": path });
        let client = address
            .map_or_else(|| json!({ "service": service }), |url| json!({ "url": format!("{url}{path}") }));
        client.to_string()
    };
    filled(&Texts { name, namespace, operator: &operator, labels: &labels.to_string() }, client)
}

/// The same as a template of the chart.
pub fn chart_template() -> String {
    let texts = Texts {
        name: "{{ include `liaison.fullname` . }}",
        namespace: "{{ .Release.Namespace }}",
        operator: "system:serviceaccount:{{ .Release.Namespace }}:{{ include `liaison.serviceAccount` . }}",
        labels: "\n    {{- include `liaison.labels` . | nindent 4 }}",
    };
    let client = |path: &str| format!("{{{{ include `liaison.admission.client` (list . `{path}`) }}}}");
    format!(
        "{{{{- /* Made by `make generate` from src/runtime/manifests/admission.yaml; do not edit. */}}}}
{{{{- if .Values.admission.enabled }}}}
{}{{{{- end }}}}
",
        filled(&texts, client).replace("labels: \n", "labels:\n")
    )
}

struct Texts<'a> {
    name: &'a str,
    namespace: &'a str,
    operator: &'a str,
    labels: &'a str,
}

fn filled(texts: &Texts<'_>, client: impl Fn(&str) -> String) -> String {
    let named = SOURCE
        .replace("$(NAMESPACE)", texts.namespace)
        .replace("$(NAME)", texts.name)
        .replace("$(OPERATOR)", texts.operator)
        .replace("$(LABELS)", texts.labels);
    let mut parts = named.split("$(CLIENT ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (path, rest) = part.split_once(')').unwrap_or((part, ""));
        text.push_str(&client(path));
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    fn printed(admission_url: Option<&str>) -> Vec<Value> {
        let settings = Settings {
            name: "ours".to_owned(),
            namespace: "home".to_owned(),
            operator: None,
            admission_url: admission_url.map(|url| url.parse().unwrap()),
        };
        let text = all(&settings).unwrap();
        assert!(!text.contains("$("), "{text}");
        let documents =
            serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
        documents.filter(|document| !document.is_null()).collect()
    }

    #[test]
    fn the_api_server_is_led_to_an_address_or_to_the_service() {
        let hooks = |objects: &[Value]| -> Vec<Value> {
            let hooks = objects.iter().filter_map(|object| object["webhooks"].as_array()).flatten();
            hooks.map(|webhook| webhook["clientConfig"].clone()).collect()
        };
        let by_url = hooks(&printed(Some("https://127.0.0.1:8443")));
        assert_eq!(by_url.len(), 4);
        assert_eq!(by_url[0], json!({ "url": "https://127.0.0.1:8443/admission/consent-requests" }));
        let by_service = hooks(&printed(None));
        let service =
            json!({ "namespace": "home", "name": "ours-admission", "path": "/admission/consent-requests" });
        assert_eq!(by_service[0], json!({ "service": service }));
    }

    #[test]
    fn every_policy_is_bound_and_everything_bears_our_label() {
        let objects = printed(None);
        let named = |kind: &str| -> Vec<String> {
            let of_kind = objects.iter().filter(|object| object["kind"] == kind);
            of_kind.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(named("ValidatingAdmissionPolicy"), named("ValidatingAdmissionPolicyBinding"));
        assert_eq!(named("ValidatingAdmissionPolicy").len(), 6);
        for object in
            objects.iter().filter(|object| object["apiVersion"] == "admissionregistration.k8s.io/v1")
        {
            assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/part-of"], "liaison");
        }
        let text = serde_json::to_string(&objects).unwrap();
        assert!(text.contains("system:serviceaccount:home:ours"));
    }

    #[test]
    fn names_of_our_api_are_spelt_as_the_code_spells_them() {
        use crate::api::names;
        let known = [
            names::FOLDER_LABEL,
            names::CREATED_BY_ANNOTATION,
            names::CONFIRM_DELETE_ANNOTATION,
            names::VERIFY_AT_ANNOTATION,
            names::REAUTHENTICATE_AT_ANNOTATION,
        ];
        for rest in SOURCE.split("liaison.dev/").skip(1) {
            let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(rest.len());
            let named = format!("liaison.dev/{}", &rest[..end]);
            assert!(known.contains(&named.as_str()), "{named}");
        }
    }
}
