//! Templates: text with `{name}` in it, and the rules that keep a value in its place.

use std::fmt::Write as _;

/// Where a rendered value ends up; decides how it is encoded or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Inside a host name, or host and port.
    Host,
    /// Inside one segment of a path (RFC 3986, section 3.3).
    PathSegment,
    /// Inside the name or value of a query or form parameter.
    QueryValue,
    /// Inside the value of a header: printable ASCII only (RFC 9110, section 5.5).
    HeaderValue,
    /// Inside a JSON string.
    JsonString,
    /// As it is; whoever takes the result encodes it.
    Plain,
}

/// Text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text that stands for itself.
    Literal(String),
    /// The name of a value.
    Variable(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// A brace opens and nothing closes it.
    #[error("an opening brace is never closed")]
    Unclosed,
    /// A brace closes what nothing opened.
    #[error("a closing brace has no opening one")]
    Unopened,
    /// What stands between braces cannot be a parameter's name.
    #[error("\"{0}\" is not a parameter's name")]
    BadName(String),
}

/// Why a template cannot be rendered with these values. The texts name the variable, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderFault {
    /// There is no value.
    #[error("there is no value for \"{0}\"")]
    Missing(String),
    /// The value is empty where that would change the address.
    #[error("the value of \"{0}\" must not be empty in an address")]
    Empty(String),
    /// The value cannot stand in a host name.
    #[error(
        "the value of \"{0}\" must be a host name: letters, digits, hyphens and dots, and a port if need be"
    )]
    NotAHost(String),
    /// The value cannot stand in a header.
    #[error("the value of \"{0}\" must be printable ASCII to stand in a header")]
    NotPrintable(String),
}

impl RenderFault {
    /// Whether it is only that there is no value.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

impl Template {
    /// Parses a template in which each brace belongs to a variable.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            if rest[at..].starts_with('}') {
                return Err(TemplateFault::Unopened);
            }
            push_literal(&mut parts, &rest[..at]);
            let after = &rest[at + 1..];
            let end = after.find('}').ok_or(TemplateFault::Unclosed)?;
            let name = &after[..end];
            if !is_name(name) {
                return Err(TemplateFault::BadName(name.to_owned()));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = &after[end + 1..];
        }
        push_literal(&mut parts, rest);
        Ok(Self { parts })
    }

    /// Parses the template of a body, where braces are common: only `{name}` without any space is a variable,
    /// every other brace stands for itself.
    pub fn parse_body(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            literal.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            match after.find('}').map(|end| (&after[..end], &after[end + 1..])) {
                Some((name, behind)) if is_name(name) => {
                    push_literal(&mut parts, &std::mem::take(&mut literal));
                    parts.push(Part::Variable(name.to_owned()));
                    rest = behind;
                }
                _ => {
                    literal.push('{');
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        push_literal(&mut parts, &literal);
        Self { parts }
    }

    /// The names of its variables in order, repeated ones too.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Fills in the values, encoded for their place.
    pub fn render<'v>(
        &self,
        place: Place,
        lookup: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<String, RenderFault> {
        let mut rendered = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => rendered.push_str(text),
                Part::Variable(name) => {
                    let value = lookup(name).ok_or_else(|| RenderFault::Missing(name.clone()))?;
                    encode(&mut rendered, place, name, value)?;
                }
            }
        }
        Ok(rendered)
    }

    /// Its pieces.
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// Writes a value so that it cannot leave its place.
pub(super) fn encode(target: &mut String, place: Place, name: &str, value: &str) -> Result<(), RenderFault> {
    match place {
        Place::Host if !is_host_and_port(value) => return Err(RenderFault::NotAHost(name.to_owned())),
        Place::PathSegment if value.is_empty() => return Err(RenderFault::Empty(name.to_owned())),
        Place::HeaderValue if !value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) => {
            return Err(RenderFault::NotPrintable(name.to_owned()));
        }
        Place::Host | Place::HeaderValue | Place::Plain => target.push_str(value),
        Place::PathSegment | Place::QueryValue => percent_encode(target, value),
        Place::JsonString => target.push_str(&escape_json(value)),
    }
    Ok(())
}

/// Encodes all but the unreserved characters (RFC 3986, section 2.3).
fn percent_encode(target: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            target.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

/// The inside of a JSON string (RFC 8259, section 7).
fn escape_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// A host name of letters, digits, hyphens and dots, that starts and ends with a letter or digit, and a port.
fn is_host_and_port(value: &str) -> bool {
    let (host, port) = value.split_once(':').map_or((value, None), |(host, port)| (host, Some(port)));
    let inner = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let port_is_right = port
        .is_none_or(|port| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit()));
    inner
        && port_is_right
        && !host.contains("..")
        && ends(host.bytes().next())
        && ends(host.bytes().next_back())
}

/// Whether the text may be a parameter's name.
pub(super) fn is_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Literal(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn render(template: &str, place: Place, value: &str) -> Result<String, RenderFault> {
        Template::parse(template).unwrap().render(place, |name| (name == "v").then_some(value))
    }

    #[rstest]
    #[case::unclosed("a{b", TemplateFault::Unclosed)]
    #[case::unopened("a}b", TemplateFault::Unopened)]
    #[case::empty("{}", TemplateFault::BadName(String::new()))]
    #[case::nested("{a{b}}", TemplateFault::BadName("a{b".into()))]
    #[case::digit_first("{1a}", TemplateFault::BadName("1a".into()))]
    #[case::space("{a b}", TemplateFault::BadName("a b".into()))]
    fn a_brace_that_belongs_to_no_variable_is_a_fault(#[case] text: &str, #[case] fault: TemplateFault) {
        assert_eq!(Template::parse(text), Err(fault));
    }

    #[rstest]
    #[case(Place::PathSegment, "a/../b?c#d", "x-a%2F..%2Fb%3Fc%23d")]
    #[case(Place::QueryValue, "a&b=c +é", "x-a%26b%3Dc%20%2B%C3%A9")]
    #[case(Place::Host, "eu-1.example.com", "x-eu-1.example.com")]
    #[case(Place::Host, "example.com:8443", "x-example.com:8443")]
    #[case(Place::HeaderValue, "a b;c", "x-a b;c")]
    #[case(Place::JsonString, "a\"b\\c\n", "x-a\\\"b\\\\c\\n")]
    #[case(Place::Plain, "a&b", "x-a&b")]
    fn values_are_encoded_for_their_place(#[case] place: Place, #[case] value: &str, #[case] expected: &str) {
        assert_eq!(render("x-{v}", place, value).unwrap(), expected);
    }

    #[rstest]
    #[case::at(Place::Host, "user@evil.example")]
    #[case::slash(Place::Host, "evil.example/")]
    #[case::backslash(Place::Host, "evil.example\\")]
    #[case::leading_dot(Place::Host, ".evil.example")]
    #[case::two_dots(Place::Host, "a..b")]
    #[case::two_ports(Place::Host, "a:1:2")]
    #[case::empty_port(Place::Host, "a:")]
    #[case::empty_host(Place::Host, "")]
    #[case::not_ascii(Place::Host, "exämple.com")]
    #[case::line_feed(Place::HeaderValue, "a\r\nX-Evil: 1")]
    #[case::nul(Place::HeaderValue, "a\0")]
    #[case::delete(Place::HeaderValue, "a\u{7f}")]
    #[case::not_ascii_header(Place::HeaderValue, "é")]
    #[case::empty_segment(Place::PathSegment, "")]
    fn values_that_cannot_stand_in_a_place_are_refused(#[case] place: Place, #[case] value: &str) {
        assert!(render("{v}", place, value).is_err());
    }

    #[rstest]
    #[case(r#"{"query":"{ me { id } }"}"#, &[])]
    #[case(r#"{"name":"{v}","n":{}}"#, &["v"])]
    #[case("{{v}", &["v"])]
    fn bodies_keep_braces_that_enclose_no_name(#[case] text: &str, #[case] names: &[&str]) {
        let template = Template::parse_body(text);
        assert_eq!(template.variables().collect::<Vec<_>>(), names);
        let rendered = template.render(Place::JsonString, |_| Some("1")).unwrap();
        assert_eq!(rendered, text.replace("{v}", "1"));
    }

    #[test]
    fn a_missing_value_is_named() {
        let fault = Template::parse("{v}").unwrap().render(Place::Plain, |_| None).unwrap_err();
        assert_eq!(fault.to_string(), "there is no value for \"v\"");
        assert!(fault.is_missing());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = Template::parse(&text);
            Template::parse_body(&text);
        }

        #[test]
        fn a_body_without_names_stays_as_it_is(text in "[^{]*") {
            let rendered = Template::parse_body(&text).render(Place::Plain, |_| None);
            prop_assert_eq!(rendered.unwrap(), text);
        }

        #[test]
        fn a_json_string_holds_exactly_the_value(value in any::<String>()) {
            let body = Template::parse_body(r#"{"a":"{v}"}"#)
                .render(Place::JsonString, |_| Some(&value)).unwrap();
            let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(parsed, serde_json::json!({ "a": value }));
        }

        #[test]
        fn a_header_never_gets_a_second_line(value in any::<String>()) {
            if let Ok(rendered) = render("Bearer {v}", Place::HeaderValue, &value) {
                prop_assert!(http::HeaderValue::from_str(&rendered).is_ok());
            }
        }
    }
}
