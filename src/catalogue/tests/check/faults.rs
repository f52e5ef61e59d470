//! What each fault of a description says.

use rstest::rstest;

use super::*;

/// A description with one method of client credentials, whose oauth2 part is given.
fn with_oauth2(parameters: &str, rest: &str, oauth2: &str) -> String {
    format!(
        "displayName: E\nparameters: [{parameters}]\n{rest}\nauthMethods:\n- type: OAuth2ClientCredentials\n  oauth2: {{{oauth2}}}\n"
    )
}

const AT: &str = "spec.authMethods[OAuth2ClientCredentials].oauth2";

#[rstest]
#[case::undeclared(
    "{name: b}, {name: a}",
    "",
    "tokenURL: 'https://x.example.com/{organization}'",
    "tokenURL: undeclared variable \"organization\"; declared: a, b"
)]
#[case::none_declared(
    "",
    "",
    "tokenURL: 'https://x.example.com/{organization}'",
    "tokenURL: undeclared variable \"organization\"; none is declared"
)]
#[case::syntax("", "", "tokenURL: 'https://x.example.com/{a'", "tokenURL: an opening brace is never closed")]
#[case::scheme("", "", "tokenURL: x.example.com", "tokenURL: must start with https://")]
#[case::secret_in_address(
    "{name: s, secret: true, required: true}",
    "",
    "tokenURL: 'https://x.example.com/{s}'",
    "tokenURL: the secret parameter \"s\" must not be part of an address"
)]
#[case::client_in_address(
    "",
    "",
    "tokenURL: 'https://x.example.com/{clientSecret}'",
    "tokenURL: undeclared variable \"clientSecret\"; none is declared"
)]
#[case::optional_in_address(
    "{name: o}",
    "",
    "tokenURL: 'https://x.example.com/{o}'",
    "tokenURL: parameter \"o\" is in an address: it must be required or have a default"
)]
#[case::host(
    "{name: h, required: true, pattern: a}",
    "",
    "tokenURL: 'https://{h}.example.com/'",
    "tokenURL: parameter \"h\" reaches the host: that needs redirect: PerConnection"
)]
#[case::host_pattern(
    "{name: h, required: true}",
    "redirect: PerConnection",
    "tokenURL: 'https://{h}.example.com/'",
    "tokenURL: parameter \"h\" reaches the host: it needs an enum or a pattern"
)]
#[case::issuer(
    "{name: t, required: true}",
    "",
    "tokenURL: 'https://a.example.com', issuer: 'https://a.example.com/{t}'",
    "issuer: parameter \"t\" is part of the issuer: it needs an enum or a pattern"
)]
#[case::secret_in_token_request(
    "{name: s, secret: true}",
    "",
    "tokenURL: 'https://a.example.com', tokenParameters: {a: '{s}'}",
    "tokenParameters[a]: the secret parameter \"s\" is not available in OAuth requests"
)]
#[case::own_parameter(
    "",
    "",
    "tokenURL: 'https://a.example.com', authorizeParameters: {state: a}",
    "authorizeParameters[state]: cannot be set: Liaison sets it"
)]
#[case::fixed(
    "",
    "",
    "tokenURL: 'https://a.example.com', lifetime: Fixed",
    "lifetimeSeconds: is required with lifetime: Fixed"
)]
#[case::get(
    "",
    "",
    "tokenURL: 'https://a.example.com', requestMethod: GET",
    "requestMethod: GET needs requestFormat: Query"
)]
#[case::scope_twice(
    "",
    "",
    "tokenURL: 'https://a.example.com', scopes: {default: [a], optional: [a]}",
    "scopes.optional: the scope \"a\" is there twice"
)]
#[case::scope_separator(
    "",
    "",
    "tokenURL: 'https://a.example.com', scopes: {default: ['a,b'], separator: ','}",
    "scopes.default: the scope \"a,b\" contains the separator \",\""
)]
#[case::scope_characters(
    "",
    "",
    "tokenURL: 'https://a.example.com', scopes: {default: ['a b']}",
    "scopes.default: \"a b\" is not a scope"
)]
#[case::pointer(
    "",
    "",
    "tokenURL: 'https://a.example.com', response: {accessToken: data.token}",
    "response.accessToken: is not a JSON pointer (RFC 6901): it must start with \"/\", and \"~\" only occurs as ~0 or ~1"
)]
#[case::no_token_url("", "", "pkce: Required", "tokenURL: is required")]
#[case::empty_token_url("", "", "tokenURL: ''", "tokenURL: must start with https://")]
fn faults_of_an_oauth_server_are_explained(
    #[case] parameters: &str,
    #[case] rest: &str,
    #[case] oauth2: &str,
    #[case] fault: &str,
) {
    assert_eq!(faults(&with_oauth2(parameters, rest, oauth2)), [format!("{AT}.{fault}")]);
}

#[rstest]
#[case::display_name("{displayName: ' ', authMethods: [{type: None}]}", "spec.displayName: is required")]
#[case::no_method("{displayName: E, authMethods: []}", "spec.authMethods: at least one is required")]
#[case::method_twice(
    "{displayName: E, authMethods: [{type: None}, {type: None}]}",
    "spec.authMethods[None]: is there twice"
)]
#[case::own_app(
    "{displayName: E, authMethods: [{type: OAuth2BringYourOwnApp}]}",
    "spec.authMethods[OAuth2BringYourOwnApp]: comes with OAuth2AuthorizationCode; list that one"
)]
#[case::oauth2_missing(
    "{displayName: E, authMethods: [{type: OAuth2ClientCredentials}]}",
    "spec.authMethods[OAuth2ClientCredentials].oauth2: is required for an OAuth2 auth type"
)]
#[case::oauth2_unasked(
    "{displayName: E, authMethods: [{type: Basic, oauth2: {tokenURL: 'https://a.example.com'}}]}",
    "spec.authMethods[Basic].oauth2: is only for OAuth2 auth types"
)]
#[case::authorize_missing(
    "{displayName: E, authMethods: [{type: OAuth2AuthorizationCode, oauth2: {tokenURL: 'https://a.example.com'}}]}",
    "spec.authMethods[OAuth2AuthorizationCode].oauth2.authorizeURL: is required for OAuth2AuthorizationCode"
)]
#[case::parameter_twice(
    "{displayName: E, parameters: [{name: a}, {name: a}], authMethods: [{type: None}]}",
    "spec.parameters[a]: is declared twice"
)]
#[case::parameter_in_both(
    "{displayName: E, parameters: [{name: a}], authMethods: [{type: APIKey, parameters: [{name: a}]}]}",
    "spec.authMethods[APIKey].parameters[a]: is declared by the connector already"
)]
#[case::reserved(
    "{displayName: E, parameters: [{name: accessToken}], authMethods: [{type: None}]}",
    "spec.parameters[accessToken]: the name is reserved"
)]
#[case::pattern(
    "{displayName: E, parameters: [{name: a, pattern: '('}], authMethods: [{type: None}]}",
    "spec.parameters[a]: its pattern is not a regular expression"
)]
#[case::default_and_enum(
    "{displayName: E, parameters: [{name: a, default: c, enum: [a, b]}], authMethods: [{type: None}]}",
    "spec.parameters[a]: its default must be one of a, b"
)]
#[case::host_header(
    "{displayName: E, authMethods: [{type: APIKey, request: {headers: {Host: '{apiKey}'}}}]}",
    "spec.authMethods[APIKey].request.headers[Host]: this header cannot be set"
)]
#[case::transfer_header(
    "{displayName: E, authMethods: [{type: APIKey, request: {headers: {transfer-Encoding: '{apiKey}'}}}]}",
    "spec.authMethods[APIKey].request.headers[transfer-Encoding]: this header cannot be set"
)]
#[case::bad_header(
    "{displayName: E, authMethods: [{type: APIKey, request: {headers: {'a b': '{apiKey}'}}}]}",
    "spec.authMethods[APIKey].request.headers[a b]: is not a header's name"
)]
#[case::placement_undeclared(
    "{displayName: E, authMethods: [{type: APIKey, request: {query: {k: '{key}'}}}]}",
    "spec.authMethods[APIKey].request.query[k]: undeclared variable \"key\"; none is declared"
)]
#[case::method_parameter_in_shared_template(
    "{displayName: E, baseURL: 'https://a.example.com/{a}', authMethods: [{type: APIKey, parameters: [{name: a, required: true}]}, {type: Basic}]}",
    "spec.baseURL: undeclared variable \"a\"; none is declared"
)]
#[case::foreign_domain(
    "{displayName: E, baseURL: 'https://{a}/', parameters: [{name: a, required: true}], authMethods: [{type: APIKey}]}",
    "spec.baseURL: the host must end in a literal domain such as .example.com, or redirect must be PerConnection"
)]
#[case::secret_in_verify(
    "{displayName: E, authMethods: [{type: APIKey}], verify: {url: 'https://a.example.com/?k={apiKey}'}}",
    "spec.verify.url: the secret parameter \"apiKey\" must not be part of an address"
)]
#[case::rule(
    "{displayName: E, authMethods: [{type: APIKey}], verify: {url: 'https://a.example.com/', success: 'answer.ok'}}",
    "spec.verify.success: undeclared variable \"answer\"; declared: response"
)]
#[case::body(
    "{displayName: E, authMethods: [{type: APIKey}], verify: {url: 'https://a.example.com/', body: '{\"a\": {apiKey}'}}",
    "spec.verify.body: is not JSON; variables belong inside strings, as in \"{name}\""
)]
#[case::account_neither(
    "{displayName: E, authMethods: [{type: APIKey}], account: {}}",
    "spec.account: choose one of idTokenClaim or url"
)]
#[case::account_path(
    "{displayName: E, authMethods: [{type: APIKey}], account: {url: 'https://a.example.com/'}}",
    "spec.account.idPath: is required with url"
)]
#[case::account_pointer(
    "{displayName: E, authMethods: [{type: APIKey}], account: {url: 'https://a.example.com/', idPath: /id, namePath: name}}",
    "spec.account.namePath: is not a JSON pointer (RFC 6901): it must start with \"/\", and \"~\" only occurs as ~0 or ~1"
)]
fn faults_of_a_description_are_explained(#[case] yaml: &str, #[case] fault: &str) {
    assert_eq!(faults(yaml), [fault]);
}

#[test]
fn all_faults_come_at_once_and_in_order() {
    let yaml = "{displayName: '', baseURL: '{x}', parameters: [{name: a, pattern: '['}], authMethods: \
                [{type: OAuth2ClientCredentials, oauth2: {tokenURL: 'ftp://a', lifetime: Fixed}}], \
                account: {idTokenClaim: email, url: 'https://a.example.com'}, verify: {url: 'https://a.example.com/#b', success: '1 +'}}";
    let fields: Vec<String> = check(&spec(yaml)).unwrap_err().into_iter().map(|fault| fault.field).collect();
    assert_eq!(
        fields,
        [
            "spec.displayName",
            "spec.parameters[a]",
            "spec.authMethods[OAuth2ClientCredentials].oauth2.tokenURL",
            "spec.authMethods[OAuth2ClientCredentials].oauth2.lifetimeSeconds",
            "spec.baseURL",
            "spec.account",
            "spec.verify.url",
            "spec.verify.success",
        ]
    );
}
