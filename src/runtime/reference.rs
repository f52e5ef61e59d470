//! Pages of the reference, made from what they describe: the API from the CRDs' schemas, the reasons from their list.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

use crate::api::crds;
use crate::domain::reason::{Fixer, Progress, Reason};

/// First line of every page.
const NOTICE: &str = "<!-- Made by `make generate` from src; do not edit. -->\n";

/// All pages, by path from the repository's root.
pub fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::from([("docs/reasons.md".into(), format!("{NOTICE}{}", reasons_page()))]);
    for crd in crds::all() {
        let kind = crd.spec.names.kind.to_lowercase();
        pages.insert(format!("docs/reference/{kind}.md").into(), format!("{NOTICE}{}", kind_page(&crd)));
    }
    pages
}

/// The page of one kind: its fields with types, bounds and meaning, its rules, and what a list shows.
fn kind_page(crd: &CustomResourceDefinition) -> String {
    let names = &crd.spec.names;
    let mut page = format!("# {}\n\n", names.kind);
    for version in &crd.spec.versions {
        let Some(schema) = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref())
        else {
            continue;
        };
        let scope = if crd.spec.scope == "Namespaced" { "namespaced" } else { "cluster-wide" };
        let _ = writeln!(page, "{}\n", description(schema));
        let _ = writeln!(
            page,
            "`apiVersion: {}/{}`, `kind: {}`, {scope}.",
            crd.spec.group, version.name, names.kind
        );
        let categories = names.categories.iter().flatten().map(|name| format!("`kubectl get {name}`"));
        let _ = writeln!(page, "Listed by `kubectl get {}` and {}.\n", names.plural, listed(categories));
        for (part, whose) in [("spec", "You write this."), ("status", "The operator writes this.")] {
            if let Some(part_schema) = schema.properties.as_ref().and_then(|properties| properties.get(part))
            {
                let _ = writeln!(page, "## {part}\n\n{whose} {}\n", description(part_schema));
                page.push_str("| Field | Type | Required | Bounds | Meaning |\n|---|---|---|---|---|\n");
                fields(&mut page, part_schema, part);
                page.push('\n');
            }
        }
        let mut rules = Vec::new();
        collect_rules(&mut rules, schema, "");
        if !rules.is_empty() {
            let _ = writeln!(page, "## Refused\n\nThe API server refuses an object with these words:\n");
            page.extend(rules.into_iter().map(|rule| format!("- {rule}\n")));
            page.push('\n');
        }
        let columns = version.additional_printer_columns.iter().flatten();
        let shown = columns.map(|column| match column.priority {
            Some(priority) if priority > 0 => format!("{} (`--output wide`)", column.name),
            _ => column.name.clone(),
        });
        let _ = writeln!(page, "## Columns\n\n{}.", listed(shown));
    }
    page
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// Fit for a cell of a table.
fn description(schema: &JSONSchemaProps) -> String {
    cell(schema.description.as_deref().unwrap_or_default())
}

fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn fields(page: &mut String, schema: &JSONSchemaProps, path: &str) {
    let required = schema.required.as_deref().unwrap_or_default();
    for (name, property) in schema.properties.iter().flatten() {
        let field = format!("{path}.{name}");
        let needed = if required.contains(name) { "yes" } else { "" };
        let _ = writeln!(
            page,
            "| `{field}` | {} | {needed} | {} | {} |",
            type_of(property),
            cell(&bounds(property)),
            description(property)
        );
        if is_condition_list(property) {
            continue;
        }
        match item_of(property) {
            Some(item) => fields(page, item, &format!("{field}[]")),
            None => fields(page, property, &field),
        }
    }
}

/// Every list of conditions has the same fields, which Kubernetes describes.
fn is_condition_list(schema: &JSONSchemaProps) -> bool {
    let has = |item: &JSONSchemaProps| {
        item.properties.iter().flatten().any(|(name, _)| name == "lastTransitionTime")
    };
    item_of(schema).is_some_and(has)
}

fn item_of(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(item) => Some(item),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

fn value_of(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(value) => Some(value),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

fn type_of(schema: &JSONSchemaProps) -> String {
    if is_condition_list(schema) {
        return "list of conditions".to_owned();
    }
    if let Some(item) = item_of(schema) {
        return format!("list of {}", type_of(item));
    }
    if let Some(value) = value_of(schema) {
        return format!("map to {}", type_of(value));
    }
    match (schema.type_.as_deref(), schema.format.as_deref()) {
        (_, Some("date-time")) => "time".to_owned(),
        (Some("string"), _) if schema.enum_.is_some() => "one of".to_owned(),
        (Some(name), _) => name.to_owned(),
        (None, _) => "any".to_owned(),
    }
}

/// What a value may be, in a few words.
fn bounds(schema: &JSONSchemaProps) -> String {
    let mut bounds = Vec::new();
    let values = schema.enum_.iter().flatten().filter_map(|value| value.0.as_str());
    let values = listed(values.map(|value| format!("`{value}`")));
    if !values.is_empty() {
        bounds.push(values);
    }
    let range = |least: Option<i64>, most: Option<i64>, unit: &str| match (least, most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most} {unit}")),
        (None, Some(most)) => Some(format!("up to {most} {unit}")),
        (Some(least), None) => Some(format!("at least {least} {unit}")),
        (None, None) => None,
    };
    bounds.extend(range(schema.min_length, schema.max_length, "characters"));
    bounds.extend(range(schema.min_items, schema.max_items, "items"));
    bounds.extend(range(schema.min_properties, schema.max_properties, "entries"));
    bounds.extend(number_range(schema.minimum, schema.maximum));
    if let Some(pattern) = &schema.pattern {
        bounds.push(format!("`{pattern}`"));
    }
    for part in [item_of(schema), value_of(schema)].into_iter().flatten() {
        let each = if part.properties.is_some() { String::new() } else { self::bounds(part) };
        bounds.extend(Some(each).filter(|each| !each.is_empty()).map(|each| format!("each {each}")));
    }
    if let Some(default) =
        schema.default.as_ref().map(|default| &default.0).filter(|value| !value.is_object())
    {
        bounds.push(format!(
            "default `{}`",
            default.as_str().map_or_else(|| default.to_string(), str::to_owned)
        ));
    }
    bounds.join("; ")
}

fn number_range(least: Option<f64>, most: Option<f64>) -> Option<String> {
    match (least, most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    }
}

/// Messages of the CEL rules, each with where it applies.
fn collect_rules(rules: &mut Vec<String>, schema: &JSONSchemaProps, path: &str) {
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        let place = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        rules.extend(rule.message.as_ref().map(|message| format!("{place}{}", cell(message))));
    }
    for (name, property) in schema.properties.iter().flatten() {
        let field = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect_rules(rules, property, &field);
        if let Some(item) = item_of(property) {
            collect_rules(rules, item, &format!("{field}[]"));
        }
    }
}

/// The page of reasons.
fn reasons_page() -> String {
    let mut page = String::from(
        "# Reasons\n\n\
         Every condition and Event of Liaison carries one of these words. The condition's message says what it means \
         for this object and what to do next; [troubleshooting](troubleshooting.md) has the commands for the common \
         ones.\n\n\
         *Who can mend it*: \"nobody has to\" stands where all is well or passes by itself; the user owns the \
         Connection or the Folder; the administrator runs the cluster or the catalogue; the provider is the \
         application's owner; the operator is whoever runs Liaison.\n\n\
         *Tools that wait* read the conditions Reconciling and Stalled. They apply where Ready is not True for this \
         reason.\n\n\
         | Reason | What it means | Who can mend it | Tools that wait |\n|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let _ = writeln!(
            page,
            "| `{reason}` | {} | {} | {} |",
            cell(reason.note()),
            fixer(reason.fixer()),
            progress(reason.progress())
        );
    }
    page
}

fn fixer(fixer: Fixer) -> &'static str {
    match fixer {
        Fixer::Nobody => "nobody has to",
        Fixer::User => "user",
        Fixer::Administrator => "administrator",
        Fixer::Provider => "provider",
        Fixer::Operator => "operator",
    }
}

fn progress(progress: Progress) -> &'static str {
    match progress {
        Progress::Settled => "neither: nothing happens without a person",
        Progress::Waiting => "Reconciling: it may become right by itself",
        Progress::Stuck => "Stalled: only a change can help",
    }
}
