//! A Connector's description, checked: what the rest of Liaison reads.

use std::collections::{BTreeMap, BTreeSet};

use super::address::{Address, AddressFault, HttpAllowed, Target, TargetPurpose};
use super::method::{ApiRequest, Method};
use super::parameters::{ParameterFault, Values};
use super::pointer::Pointer;
use super::success::SuccessRule;
use crate::api::AuthType;
use crate::api::connector::{IssuerMetadata, RedirectMode};

/// A Connector's description without faults. Made by [`super::check`] alone.
#[derive(Clone, Debug)]
pub struct Definition {
    pub(super) display_name: String,
    pub(super) documentation_url: Option<String>,
    pub(super) base_url: Option<Address>,
    pub(super) methods: Vec<Method>,
    pub(super) account: Option<AccountSource>,
    pub(super) verification: Option<ApiRequest>,
    pub(super) success_rule: SuccessRule,
    pub(super) redirect: RedirectMode,
}

/// How the account of a credential is found.
#[derive(Clone, Debug)]
pub enum AccountSource {
    /// A claim of the ID token.
    IdTokenClaim(String),
    /// A request, and pointers into its answer.
    Request {
        /// The request.
        request: ApiRequest,
        /// Pointer to the account's stable identifier.
        id: Pointer,
        /// Pointer to its name as people know it.
        name: Option<Pointer>,
    },
}

impl Definition {
    /// The application's name as people know it.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// Where the application's owner explains how to get credentials.
    pub fn documentation_url(&self) -> Option<&str> {
        self.documentation_url.as_deref()
    }

    /// Which redirect address an authorization code flow uses.
    pub fn redirect(&self) -> RedirectMode {
        self.redirect
    }

    /// The ways to authenticate, in the connector's order. OAuth2BringYourOwnApp follows
    /// OAuth2AuthorizationCode.
    pub fn auth_types(&self) -> Vec<AuthType> {
        self.methods.iter().map(Method::auth_type).collect()
    }

    /// The method of a type, if the connector offers it.
    pub fn method(&self, auth_type: AuthType) -> Option<&Method> {
        self.methods.iter().find(|method| method.auth_type() == auth_type)
    }

    /// Fits a Connection's `spec.parameters` to what the method declares; all faults at once if they do not fit.
    pub fn resolve(
        &self,
        method: &Method,
        given: &BTreeMap<String, String>,
    ) -> Result<Values, Vec<ParameterFault>> {
        method.resolve(given)
    }

    /// The address that API requests start with, as the template writes it. Whether plain HTTP may be used is
    /// decided by [`Self::targets`], not here.
    pub fn base_url(&self, values: &Values) -> Result<Option<String>, AddressFault> {
        self.base_url
            .as_ref()
            .map(|address| address.render_text(|name| values.get(name), &|_, _| true))
            .transpose()
    }

    /// The issuer whose metadata names the endpoints that this description leaves open, where there is one.
    pub fn metadata_issuer(&self) -> Option<&str> {
        if self.redirect != RedirectMode::Shared {
            return None;
        }
        let method = self.methods.iter().find(|method| method.auth_type().needs_person())?;
        method.oauth2()?.issuer.as_deref()
    }

    /// The same with the endpoints that its issuer names; nothing where the metadata is another issuer's, or holds
    /// what is no address.
    pub fn with_metadata(&self, metadata: &IssuerMetadata) -> Option<Self> {
        if self.metadata_issuer() != Some(metadata.issuer.as_str()) {
            return None;
        }
        let required = |text: &str| Address::parse_fixed(text).ok();
        let optional = |text: &Option<String>| match text {
            Some(text) => required(text).map(Some),
            None => Some(None),
        };
        let authorize = required(&metadata.authorization_endpoint)?;
        let token = required(&metadata.token_endpoint)?;
        let revoke = optional(&metadata.revocation_endpoint)?;
        let introspect = optional(&metadata.introspection_endpoint)?;
        let mut completed = self.clone();
        for method in completed.methods.iter_mut().filter(|method| method.auth_type().needs_person()) {
            let Some(endpoints) = &mut method.endpoints else { continue };
            endpoints.authorize = Some(authorize.clone());
            endpoints.token = Some(token.clone());
            endpoints.revoke.clone_from(&revoke);
            endpoints.introspect.clone_from(&introspect);
        }
        Some(completed)
    }

    /// Every place that credentials of this method go to, sorted, without repetitions.
    pub fn targets(
        &self,
        method: &Method,
        values: &Values,
        http_allowed: HttpAllowed<'_>,
    ) -> Result<Vec<Target>, AddressFault> {
        let mut targets = BTreeSet::new();
        for (purpose, address) in self.addresses(method) {
            let url = address.render(|name| values.get(name), http_allowed)?;
            targets.insert(Target::of(purpose, &url));
        }
        Ok(targets.into_iter().collect())
    }

    fn addresses<'a>(&'a self, method: &'a Method) -> Vec<(TargetPurpose, &'a Address)> {
        let endpoints = method.endpoints();
        let authorize = endpoints
            .filter(|_| method.auth_type().needs_person())
            .and_then(|known| known.authorize.as_ref());
        let candidates = [
            (TargetPurpose::Authorize, authorize),
            (TargetPurpose::Token, endpoints.and_then(|known| known.token.as_ref())),
            (TargetPurpose::Token, endpoints.and_then(|known| known.refresh.as_ref())),
            (TargetPurpose::Revoke, endpoints.and_then(|known| known.revoke.as_ref())),
            (TargetPurpose::Verify, self.verification.as_ref().map(|request| &request.url)),
            (TargetPurpose::Account, self.account_request().map(|request| &request.url)),
            (TargetPurpose::Api, self.base_url.as_ref()),
        ];
        candidates.into_iter().filter_map(|(purpose, address)| Some((purpose, address?))).collect()
    }

    /// Whether there is a request that shows whether a credential works.
    pub fn declares_verification(&self) -> bool {
        self.verification.is_some()
    }

    /// Whether the account of a credential can be found.
    pub fn declares_account(&self) -> bool {
        self.account.is_some()
    }

    /// Whether a token of this method can be revoked at the provider.
    pub fn declares_revocation(&self, method: &Method) -> bool {
        method.endpoints().is_some_and(|endpoints| endpoints.revoke.is_some())
    }

    /// The request that shows whether a credential works.
    pub fn verification(&self) -> Option<&ApiRequest> {
        self.verification.as_ref()
    }

    /// The rule that says whether the verification succeeded.
    pub fn success_rule(&self) -> &SuccessRule {
        &self.success_rule
    }

    /// How the account of a credential is found.
    pub fn account(&self) -> Option<&AccountSource> {
        self.account.as_ref()
    }

    /// The request that finds the account, where it takes one.
    pub fn account_request(&self) -> Option<&ApiRequest> {
        match &self.account {
            Some(AccountSource::Request { request, .. }) => Some(request),
            _ => None,
        }
    }
}
