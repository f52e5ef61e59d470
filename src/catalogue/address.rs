//! Templates of addresses, and the places that credentials may go to.

use std::fmt;

use url::Url;

use super::template::{Part, Place, RenderFault, Template, TemplateFault, encode};

/// Says whether plain HTTP may be used to a host and port: an exception that a policy or the operator's
/// settings name. Everything else needs HTTPS.
pub type HttpAllowed<'a> = &'a dyn Fn(&str, u16) -> bool;

/// The template of an address: each variable has a known place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    template: Template,
    places: Vec<Place>,
    host: Template,
}

/// Why a text is no address template, or a rendered one is refused. The texts never carry the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// The template's syntax.
    #[error(transparent)]
    Template(#[from] TemplateFault),
    /// A value that cannot stand in its place.
    #[error(transparent)]
    Render(#[from] RenderFault),
    /// The scheme is not written out.
    #[error("must start with https://")]
    Scheme,
    /// Spaces, control characters, backslashes or characters outside ASCII.
    #[error("must be printable ASCII without spaces and backslashes")]
    Characters,
    /// `user:password@` before the host.
    #[error("must not have a user name or password before the host")]
    UserInfo,
    /// `#` and what follows.
    #[error("must not have a fragment")]
    Fragment,
    /// `.` or `..` in the path, which would lead to another path.
    #[error("must not have \".\" or \"..\" as a segment of its path")]
    DotSegment,
    /// The finished text is no URL, or its host would be read differently from how it is written.
    #[error("is not a valid address")]
    Invalid,
    /// Plain HTTP to a host that no exception names.
    #[error("must be https: plain http to {host}:{port} is not among the allowed exceptions")]
    PlainHttp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
}

impl Address {
    /// Parses and checks an address template. Scheme, user information and fragment are never templated.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        let template = Template::parse(text)?;
        let literal_is_plain = template.parts().iter().all(|part| match part {
            Part::Literal(text) => text.bytes().all(|byte| (0x21..=0x7e).contains(&byte) && byte != b'\\'),
            Part::Variable(_) => true,
        });
        if !literal_is_plain {
            return Err(AddressFault::Characters);
        }
        let after_scheme = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or(AddressFault::Scheme)?;
        if text.contains('#') {
            return Err(AddressFault::Fragment);
        }
        let authority = &after_scheme[..after_scheme.find(['/', '?']).unwrap_or(after_scheme.len())];
        if authority.contains('@') {
            return Err(AddressFault::UserInfo);
        }
        if authority.is_empty() {
            return Err(AddressFault::Invalid);
        }
        let address = Self { places: places(&template), host: Template::parse(authority)?, template };
        address.check_with_samples()?;
        Ok(address)
    }

    /// Parses and checks an address that is no template: one that a server names. It has no brace, which no address has
    /// as itself (RFC 3986, section 2).
    pub fn parse_fixed(text: &str) -> Result<Self, AddressFault> {
        if text.contains(['{', '}']) {
            return Err(AddressFault::Characters);
        }
        Self::parse(text)
    }

    /// The names of its variables in order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.template.variables()
    }

    /// The names of the variables that are part of host or port.
    pub fn host_variables(&self) -> impl Iterator<Item = &str> {
        self.host.variables()
    }

    /// Whether a literal domain of at least two labels ends the host, so that a value can only choose below it.
    pub fn has_literal_domain(&self) -> bool {
        match self.host.parts().last() {
            Some(Part::Literal(_)) if self.host.variables().next().is_none() => true,
            Some(Part::Literal(text)) => text
                .split(':')
                .next()
                .and_then(|suffix| suffix.strip_prefix('.'))
                .is_some_and(|suffix| suffix.split('.').filter(|label| !label.is_empty()).count() >= 2),
            _ => false,
        }
    }

    /// Fills in the values and checks the finished address again: HTTPS, or HTTP where `http_allowed` says so;
    /// no user information, no fragment; host and path exactly as written.
    pub fn render<'v>(
        &self,
        lookup: impl Fn(&str) -> Option<&'v str>,
        http_allowed: HttpAllowed<'_>,
    ) -> Result<Url, AddressFault> {
        let text = self.fill(&lookup)?;
        let url = Url::parse(&text).map_err(|_| AddressFault::Invalid)?;
        let authority = self.host.render(Place::Host, &lookup)?;
        check_finished(&url, &text, &authority)?;
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        if url.scheme() == "http" && !http_allowed(host, port) {
            return Err(AddressFault::PlainHttp { host: host.to_owned(), port });
        }
        Ok(url)
    }

    /// The same as text, as the template writes it (without a slash after a bare host).
    pub fn render_text<'v>(
        &self,
        lookup: impl Fn(&str) -> Option<&'v str>,
        http_allowed: HttpAllowed<'_>,
    ) -> Result<String, AddressFault> {
        self.render(&lookup, http_allowed)?;
        Ok(self.fill(&lookup)?)
    }

    fn fill<'v>(&self, lookup: &impl Fn(&str) -> Option<&'v str>) -> Result<String, RenderFault> {
        let mut text = String::new();
        for (part, place) in self.template.parts().iter().zip(&self.places) {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Variable(name) => {
                    let value = lookup(name).ok_or_else(|| RenderFault::Missing(name.clone()))?;
                    encode(&mut text, *place, name, value)?;
                }
            }
        }
        Ok(text)
    }

    /// Finds what is wrong whatever the values are.
    fn check_with_samples(&self) -> Result<(), AddressFault> {
        let mut ports = Vec::new();
        for pair in self.host.parts().windows(2) {
            if let [Part::Literal(before), Part::Variable(name)] = pair
                && before.ends_with(':')
            {
                ports.push(name.as_str());
            }
        }
        self.render(|name| Some(if ports.contains(&name) { "443" } else { "a1" }), &|_, _| true)?;
        Ok(())
    }
}

/// The place of each part of an address template, found from the literal text before it.
fn places(template: &Template) -> Vec<Place> {
    let mut before = String::new();
    template
        .parts()
        .iter()
        .map(|part| {
            let after_scheme = before.split_once("://").map_or("", |(_, rest)| rest);
            let place = if after_scheme.contains('?') {
                Place::QueryValue
            } else if after_scheme.contains('/') {
                Place::PathSegment
            } else {
                Place::Host
            };
            if let Part::Literal(text) = part {
                before.push_str(text);
            }
            place
        })
        .collect()
}

/// Whether the parsed address is the one that is written.
fn check_finished(url: &Url, text: &str, authority: &str) -> Result<(), AddressFault> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressFault::UserInfo);
    }
    if url.fragment().is_some() {
        return Err(AddressFault::Fragment);
    }
    let without_query = text.split('?').next().unwrap_or_default();
    let is_dots =
        |segment: &str| matches!(segment.replace("%2e", ".").replace("%2E", ".").as_str(), "." | "..");
    if without_query.split('/').skip(3).any(is_dots) {
        return Err(AddressFault::DotSegment);
    }
    // An IPv6 literal has colons of its own, all before its bracket.
    let host_end = authority
        .rfind(']')
        .map_or_else(|| authority.find(':').unwrap_or(authority.len()), |bracket| bracket + 1);
    let written_host = authority[..host_end].to_ascii_lowercase();
    if url.host_str() == Some(written_host.as_str()) { Ok(()) } else { Err(AddressFault::Invalid) }
}

/// What kind of request goes to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetPurpose {
    /// Authorization endpoint, where the browser is sent.
    Authorize,
    /// Token endpoint, refreshing included.
    Token,
    /// Revocation endpoint.
    Revoke,
    /// The connector's verification.
    Verify,
    /// The connector's account look-up.
    Account,
    /// Requests of workloads, below the base address.
    Api,
    /// The metadata of an issuer. No credential goes there, so it is never among the targets of a method.
    Metadata,
}

impl fmt::Display for TargetPurpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Authorize => "authorize",
            Self::Token => "token",
            Self::Revoke => "revoke",
            Self::Verify => "verify",
            Self::Account => "account",
            Self::Api => "api",
            Self::Metadata => "metadata",
        })
    }
}

/// A place that a credential may go to. It prints as `token https://example.com:443`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// What goes there.
    pub purpose: TargetPurpose,
    /// `https`, or `http` for an exempted host.
    pub scheme: String,
    /// Host name or address, in lower case.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Target {
    /// The target of a finished address.
    pub fn of(purpose: TargetPurpose, url: &Url) -> Self {
        Self {
            purpose,
            scheme: url.scheme().to_owned(),
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}://{}:{}", self.purpose, self.scheme, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const NEVER: HttpAllowed<'static> = &|_, _| false;

    fn render(template: &str, value: &str) -> Result<String, AddressFault> {
        Address::parse(template)?.render(|_| Some(value), NEVER).map(String::from)
    }

    #[rstest]
    #[case::no_scheme("example.com/", AddressFault::Scheme)]
    #[case::variable_scheme("{v}://example.com/", AddressFault::Scheme)]
    #[case::whole_address("{v}", AddressFault::Scheme)]
    #[case::other_scheme("ftp://example.com", AddressFault::Scheme)]
    #[case::user("https://user@example.com/", AddressFault::UserInfo)]
    #[case::user_variable("https://{v}@example.com/", AddressFault::UserInfo)]
    #[case::fragment("https://example.com/#{v}", AddressFault::Fragment)]
    #[case::space("https://example.com/a b", AddressFault::Characters)]
    #[case::line_feed("https://exam\nple.com/", AddressFault::Characters)]
    #[case::backslash("https://example.com\\@evil.example/", AddressFault::Characters)]
    #[case::dots("https://example.com/a/../b", AddressFault::DotSegment)]
    #[case::encoded_dots("https://example.com/%2E./b", AddressFault::DotSegment)]
    #[case::no_host("https:///a", AddressFault::Invalid)]
    #[case::numeric_host("https://2130706433/", AddressFault::Invalid)]
    #[case::unclosed("https://example.com/{v", AddressFault::Template(TemplateFault::Unclosed))]
    fn faulty_address_templates_are_refused(#[case] text: &str, #[case] fault: AddressFault) {
        assert_eq!(Address::parse(text).map(|_| ()), Err(fault));
    }

    #[rstest]
    #[case("https://{v}.example.com/a", "eu", "https://eu.example.com/a")]
    #[case("https://{v}/a", "example.com:8443", "https://example.com:8443/a")]
    #[case("https://example.com:{v}/a", "8443", "https://example.com:8443/a")]
    #[case("https://[2001:db8::1]:{v}/a", "8443", "https://[2001:db8::1]:8443/a")]
    #[case("https://example.com/{v}/a", "../b", "https://example.com/..%2Fb/a")]
    #[case("https://example.com/a?b={v}", "c&d=e/#", "https://example.com/a?b=c%26d%3De%2F%23")]
    #[case("https://example.com?b={v}", "c", "https://example.com/?b=c")]
    #[case("https://EXAMPLE.com/{v}", "a", "https://example.com/a")]
    fn values_land_in_their_place(#[case] template: &str, #[case] value: &str, #[case] expected: &str) {
        assert_eq!(render(template, value).unwrap(), expected);
    }

    #[rstest]
    #[case::dots("https://example.com/{v}/b", "..")]
    #[case::two_halves("https://example.com/{v}{v}/b", ".")]
    #[case::encoded_half("https://example.com/%2e{v}/b", ".")]
    #[case::empty("https://example.com/{v}/b", "")]
    #[case::foreign_host("https://{v}.example.com/", "evil.example/?")]
    #[case::foreign_port("https://{v}.example.com/", "evil.example:443")]
    #[case::big_port("https://{v}/", "example.com:99999")]
    #[case::short_ip("https://{v}/", "127.1")]
    #[case::hexadecimal_ip("https://{v}/", "0x7f000001")]
    fn values_that_would_leave_their_place_are_refused(#[case] template: &str, #[case] value: &str) {
        assert!(render(template, value).is_err());
    }

    #[test]
    fn plain_http_needs_an_exception_for_host_and_port() {
        let address = Address::parse("http://{v}:8080/token").unwrap();
        let fault = address.render(|_| Some("demo"), NEVER).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "must be https: plain http to demo:8080 is not among the allowed exceptions"
        );
        let exception: HttpAllowed<'_> = &|host, port| host == "demo" && port == 8080;
        assert_eq!(address.render(|_| Some("demo"), exception).unwrap().as_str(), "http://demo:8080/token");
    }

    #[rstest]
    #[case("https://example.com/", true)]
    #[case("https://{v}.example.com:8443/", true)]
    #[case("https://{v}.com/", false)]
    #[case("https://{v}example.com/", false)]
    #[case("https://{v}/", false)]
    #[case("https://api.{v}/", false)]
    fn a_literal_domain_has_two_labels_after_the_last_value(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(Address::parse(text).unwrap().has_literal_domain(), expected);
    }

    #[test]
    fn text_keeps_the_form_of_the_template() {
        let address = Address::parse("https://example.com").unwrap();
        assert_eq!(address.render_text(|_| None, NEVER).unwrap(), "https://example.com");
    }

    #[test]
    fn a_target_prints_its_purpose_and_origin() {
        let url = Url::parse("https://Example.com/a").unwrap();
        assert_eq!(Target::of(TargetPurpose::Token, &url).to_string(), "token https://example.com:443");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(https?://)?[a-z{}.:@/?#%\\\\\\[\\]\\PC]*") {
            let _ = Address::parse(&text);
        }

        #[test]
        fn a_host_value_stays_below_its_domain(value in "[ -~é]{0,24}") {
            if let Ok(url) = render("https://{v}.example.com/path", &value) {
                let url = Url::parse(&url).unwrap();
                prop_assert!(url.host_str().unwrap().ends_with(".example.com"));
                prop_assert_eq!(url.port(), None);
                prop_assert_eq!(url.path(), "/path");
            }
        }

        #[test]
        fn a_path_value_stays_in_its_segment(value in any::<String>()) {
            if let Ok(url) = render("https://example.com/a/{v}/b?c=d", &value) {
                let url = Url::parse(&url).unwrap();
                prop_assert_eq!(url.host_str(), Some("example.com"));
                prop_assert_eq!(url.path_segments().unwrap().count(), 3);
                prop_assert_eq!(url.path_segments().unwrap().next_back(), Some("b"));
                prop_assert_eq!(url.query(), Some("c=d"));
                prop_assert_eq!(url.fragment(), None);
            }
        }

        #[test]
        fn a_query_value_stays_in_its_parameter(value in any::<String>()) {
            let url = Url::parse(&render("https://example.com/a?b={v}&c=d", &value).unwrap()).unwrap();
            let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, vec![("b".into(), value), ("c".into(), "d".into())]);
        }
    }
}
