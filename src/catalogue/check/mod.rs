//! The linter: reads a whole description and reports every fault at once.

mod methods;
mod oauth2;
mod templates;

use self::templates::{HostRule, Known};
use super::definition::{AccountSource, Definition};
use super::fault::{Fault, Faults};
use super::method::{ApiRequest, Method};
use super::pointer::Pointer;
use super::success::SuccessRule;
use crate::api::connector::{Account, ConnectorSpec, Verification};

/// Checks a Connector's description. Either it is usable as a whole, or all its faults are listed, in the order
/// of the description.
pub fn check(spec: &ConnectorSpec) -> Result<Definition, Vec<Fault>> {
    let mut faults = Faults::default();
    if spec.display_name.trim().is_empty() {
        faults.add("spec.displayName", "is required");
    }
    let parameters = methods::parameters(&mut faults, "spec.parameters", &spec.parameters);
    let methods = methods::methods(&mut faults, spec, &parameters);
    let known = Known::to_all(&methods, spec.redirect);
    let base_url = spec
        .base_url
        .as_deref()
        .and_then(|text| known.address(&mut faults, "spec.baseURL", text, HostRule::Request));
    let account = spec.account.as_ref().and_then(|account| account_source(&mut faults, &known, account));
    let verification = spec.verify.as_ref().and_then(|verify| verification(&mut faults, &known, verify));
    let success_rule = spec
        .verify
        .as_ref()
        .and_then(|verify| verify.success.as_deref())
        .and_then(|rule| faults.take("spec.verify.success", SuccessRule::compile(rule)))
        .unwrap_or_default();
    let list = faults.into_list();
    if !list.is_empty() {
        return Err(list);
    }
    Ok(Definition {
        display_name: spec.display_name.clone(),
        documentation_url: spec.documentation_url.clone(),
        base_url,
        methods: methods.into_iter().flat_map(Method::with_own_app).collect(),
        account,
        verification,
        success_rule,
        redirect: spec.redirect,
    })
}

fn verification(faults: &mut Faults, known: &Known<'_>, verify: &Verification) -> Option<ApiRequest> {
    let url = known.address(faults, "spec.verify.url", &verify.url, HostRule::Request);
    let headers = known.headers(faults, "spec.verify.headers", &verify.headers);
    let body = verify.body.as_deref().map(|text| known.body(faults, "spec.verify.body", text));
    Some(ApiRequest { method: verify.method, url: url?, headers, body })
}

fn account_source(faults: &mut Faults, known: &Known<'_>, account: &Account) -> Option<AccountSource> {
    let pointer = |faults: &mut Faults, field: &str, text: &Option<String>| {
        text.as_deref().and_then(|text| faults.take(&format!("spec.account.{field}"), Pointer::parse(text)))
    };
    let id = pointer(faults, "idPath", &account.id_path);
    let name = pointer(faults, "namePath", &account.name_path);
    match (&account.id_token_claim, &account.url) {
        (Some(claim), None) => {
            if account.id_path.is_some() || account.name_path.is_some() {
                faults.add("spec.account", "idPath and namePath need url");
            }
            Some(AccountSource::IdTokenClaim(claim.clone()))
        }
        (None, Some(url)) => {
            if account.id_path.is_none() {
                faults.add("spec.account.idPath", "is required with url");
            }
            let url = known.address(faults, "spec.account.url", url, HostRule::Request);
            let request = ApiRequest { method: account.method, url: url?, headers: Vec::new(), body: None };
            Some(AccountSource::Request { request, id: id?, name })
        }
        _ => {
            faults.add("spec.account", "choose one of idTokenClaim or url");
            None
        }
    }
}

#[cfg(test)]
#[path = "../tests/check/mod.rs"]
mod tests;
