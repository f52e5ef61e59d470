//! Parameters: what a connector declares, and the values that a Connection gives.

use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::api::connector::Parameter;

/// Bytes that a compiled pattern may take.
const PATTERN_SIZE_LIMIT: usize = 1 << 20;

/// A declared parameter, its pattern compiled.
#[derive(Clone, Debug)]
pub struct Declared {
    name: String,
    required: bool,
    secret: bool,
    constrained: bool,
    pattern: Option<Pattern>,
    default: Option<String>,
    allowed_values: Vec<String>,
}

/// A regular expression that has to match a whole value.
#[derive(Clone, Debug)]
struct Pattern {
    source: String,
    anchored: Regex,
}

/// Values that fit a method's declared parameters, defaults included. They hold no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<String, String>);

impl Values {
    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All values by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What is wrong with a parameter of a Connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterFaultKind {
    /// A required value is not there.
    Missing,
    /// The value is not accepted.
    Invalid,
    /// The connector declares no such parameter.
    Unknown,
    /// A secret stands in the manifest.
    Literal,
}

/// One fault of a Connection's parameters. The message names neither the value nor a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterFault {
    /// Path of the field, such as `spec.parameters.organization`.
    pub field: String,
    /// Which kind of fault.
    pub kind: ParameterFaultKind,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ParameterFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.field, self.message)
    }
}

impl Declared {
    /// Compiles a declaration, and says what is wrong with it. A faulty one still has its name, so that one
    /// mistake is reported once.
    pub(super) fn compile(parameter: &Parameter) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        if !super::template::is_name(&parameter.name) {
            problems.push(format!("\"{}\" is not a parameter's name", parameter.name));
        }
        let pattern = parameter
            .pattern
            .as_deref()
            .and_then(|source| Pattern::compile(source).map_err(|problem| problems.push(problem)).ok());
        let declared = Self {
            name: parameter.name.clone(),
            required: parameter.required,
            secret: parameter.secret,
            constrained: parameter.pattern.is_some() || !parameter.allowed_values.is_empty(),
            pattern,
            default: parameter.default.clone(),
            allowed_values: parameter.allowed_values.clone(),
        };
        if declared.secret && declared.default.is_some() {
            problems.push("a secret has no default".to_owned());
        } else if let Some(default) = &declared.default
            && let Err(expectation) = declared.accepts(default)
        {
            problems.push(format!("its default {expectation}"));
        }
        if declared.secret && !declared.allowed_values.is_empty() {
            problems.push("a secret has no enum".to_owned());
        }
        (declared, problems)
    }

    /// A secret that comes with the auth type, without being declared.
    pub(super) fn implied_secret(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            required: true,
            secret: true,
            constrained: false,
            pattern: None,
            default: None,
            allowed_values: Vec::new(),
        }
    }

    /// The parameter's name, which for a secret is also the key of its Secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has to be given.
    pub fn is_required(&self) -> bool {
        self.required && self.default.is_none()
    }

    /// Whether it comes from a Secret.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// Whether there is always a value.
    pub fn is_always_there(&self) -> bool {
        self.required || self.default.is_some()
    }

    /// Whether only chosen values are accepted.
    pub fn is_constrained(&self) -> bool {
        self.constrained
    }

    /// Whether it accepts a value; the error says what it expects, not what it got.
    pub fn accepts(&self, value: &str) -> Result<(), String> {
        if !self.allowed_values.is_empty() && !self.allowed_values.iter().any(|allowed| allowed == value) {
            return Err(format!("must be one of {}", self.allowed_values.join(", ")));
        }
        match &self.pattern {
            Some(pattern) if !pattern.anchored.is_match(value) => {
                Err(format!("must match the pattern {}", pattern.source))
            }
            _ => Ok(()),
        }
    }
}

impl Pattern {
    fn compile(source: &str) -> Result<Self, String> {
        let build = |text: &str| RegexBuilder::new(text).size_limit(PATTERN_SIZE_LIMIT).build();
        // By itself first: `a)|(b` would only become an expression inside the group, and leave the anchors.
        build(source)
            .and_then(|_| build(&format!("^(?:{source})$")))
            .map(|anchored| Self { source: source.to_owned(), anchored })
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "its pattern is too large".to_owned(),
                _ => "its pattern is not a regular expression".to_owned(),
            })
    }
}

/// Fits given values to declared parameters, and lists all faults if they do not fit.
pub(super) fn resolve(
    declared: &[Declared],
    given: &BTreeMap<String, String>,
) -> Result<Values, Vec<ParameterFault>> {
    let mut values = BTreeMap::new();
    let mut faults = Vec::new();
    let mut fault = |name: &str, kind, message: String| {
        faults.push(ParameterFault { field: format!("spec.parameters.{name}"), kind, message });
    };
    for name in given.keys().filter(|name| declared.iter().all(|parameter| parameter.name != **name)) {
        fault(name, ParameterFaultKind::Unknown, unknown(declared));
    }
    for parameter in declared {
        match (given.get(&parameter.name), parameter.secret) {
            (Some(_), true) => fault(
                &parameter.name,
                ParameterFaultKind::Literal,
                "is a secret; put it into the Secret named in spec.credentials.secretRef".to_owned(),
            ),
            (None, true) => {}
            (Some(value), false) => match parameter.accepts(value) {
                Ok(()) => {
                    values.insert(parameter.name.clone(), value.clone());
                }
                Err(expectation) => fault(&parameter.name, ParameterFaultKind::Invalid, expectation),
            },
            (None, false) => match &parameter.default {
                Some(default) => {
                    values.insert(parameter.name.clone(), default.clone());
                }
                None if parameter.required => {
                    fault(&parameter.name, ParameterFaultKind::Missing, "is required".to_owned());
                }
                None => {}
            },
        }
    }
    if faults.is_empty() { Ok(Values(values)) } else { Err(faults) }
}

/// What to say about a name that nobody declares.
fn unknown(declared: &[Declared]) -> String {
    let names: Vec<&str> =
        declared.iter().filter(|parameter| !parameter.secret).map(Declared::name).collect();
    if names.is_empty() {
        "is not a parameter of this connector, which has none".to_owned()
    } else {
        format!("is not a parameter of this connector; declared: {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn parameter(name: &str) -> Parameter {
        Parameter { name: name.into(), ..Parameter::default() }
    }

    fn declared() -> Vec<Declared> {
        [
            Parameter { required: true, pattern: Some("[a-z]+|x1".into()), ..parameter("organization") },
            Parameter {
                default: Some("eu".into()),
                allowed_values: vec!["eu".into(), "us".into()],
                ..parameter("region")
            },
            Parameter { secret: true, required: true, ..parameter("token") },
            parameter("project"),
        ]
        .iter()
        .map(|parameter| Declared::compile(parameter).0)
        .collect()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn defaults_fill_what_is_not_given() {
        let values = resolve(&declared(), &given(&[("organization", "acme")])).unwrap();
        assert_eq!(values.iter().collect::<Vec<_>>(), [("organization", "acme"), ("region", "eu")]);
        assert_eq!(values.get("project"), None);
    }

    #[rstest]
    #[case::missing(&[], "spec.parameters.organization is required")]
    #[case::pattern(&[("organization", "ACME")], "spec.parameters.organization must match the pattern [a-z]+|x1")]
    #[case::part_of_the_value(&[("organization", "acme/x1")], "spec.parameters.organization must match the pattern [a-z]+|x1")]
    #[case::line_feed(&[("organization", "acme\n")], "spec.parameters.organization must match the pattern [a-z]+|x1")]
    #[case::enumeration(&[("organization", "a"), ("region", "de")], "spec.parameters.region must be one of eu, us")]
    #[case::unknown(&[("organization", "a"), ("organisation", "b")], "spec.parameters.organisation is not a parameter of this connector; declared: organization, region, project")]
    #[case::secret(&[("organization", "a"), ("token", "s3cret")], "spec.parameters.token is a secret; put it into the Secret named in spec.credentials.secretRef")]
    fn a_value_that_does_not_fit_is_explained(#[case] pairs: &[(&str, &str)], #[case] message: &str) {
        let faults = resolve(&declared(), &given(pairs)).unwrap_err();
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [message]);
    }

    #[test]
    fn all_faults_come_at_once() {
        let faults =
            resolve(&declared(), &given(&[("region", "de"), ("token", "t"), ("x", "y")])).unwrap_err();
        let kinds: Vec<_> = faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(
            kinds,
            [
                ParameterFaultKind::Unknown,
                ParameterFaultKind::Missing,
                ParameterFaultKind::Invalid,
                ParameterFaultKind::Literal
            ]
        );
    }

    #[rstest]
    #[case::breaks_out("a)|(b", "its pattern is not a regular expression")]
    #[case::comment("(?x)a # b", "its pattern is not a regular expression")]
    #[case::unclosed("[a", "its pattern is not a regular expression")]
    #[case::huge("((a{1000}){1000}){1000}", "its pattern is too large")]
    fn patterns_that_do_not_compile_are_refused(#[case] pattern: &str, #[case] problem: &str) {
        let parameter = Parameter { pattern: Some(pattern.into()), ..parameter("a") };
        assert_eq!(Declared::compile(&parameter).1, [problem]);
    }

    #[test]
    fn defaults_have_to_fit_and_secrets_have_none() {
        let unfit = Parameter { default: Some("B".into()), pattern: Some("b".into()), ..parameter("a") };
        assert_eq!(Declared::compile(&unfit).1, ["its default must match the pattern b"]);
        let secret = Parameter {
            secret: true,
            default: Some("b".into()),
            allowed_values: vec!["b".into()],
            ..parameter("a")
        };
        assert_eq!(Declared::compile(&secret).1, ["a secret has no default", "a secret has no enum"]);
    }

    proptest! {
        #[test]
        fn compiling_a_pattern_never_panics(pattern in "\\PC{0,64}") {
            let _ = Declared::compile(&Parameter { pattern: Some(pattern), ..parameter("a") });
        }
    }
}
