//! Success rules: CEL expressions that say whether an answer means success.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ExecutionError, Program};
use serde_json::Value as Json;

use super::rule_limits;

/// Bytes that a rule may have.
const SOURCE_LIMIT: usize = 2 * 1024;
/// Bytes of a body that a rule may look at.
const BODY_LIMIT: usize = 64 * 1024;
/// Elements that any list or object of a body may have.
const ELEMENT_LIMIT: usize = 1000;

/// The variable that rules look at.
pub(super) const ANSWER_VARIABLE: &str = "response";

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Says whether an answer means success. The default: any status from 200 to 299 does.
#[derive(Clone, Default)]
pub struct SuccessRule {
    program: Option<Arc<Program>>,
}

/// What a rule looks at.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Headers by lower-case name.
    pub headers: &'a BTreeMap<String, String>,
    /// The body as received.
    pub body: &'a [u8],
}

/// Why a rule is refused, or says nothing about an answer. The texts hold no part of an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// More source than allowed.
    #[error("is longer than {SOURCE_LIMIT} bytes")]
    TooLong,
    /// No CEL expression.
    #[error("is not a CEL expression: {0}")]
    Syntax(String),
    /// Brackets in brackets, or operations on operations, more deeply than any rule needs.
    #[error("is nested too deeply")]
    TooDeep,
    /// One comprehension inside another: the work would grow with the square of the answer.
    #[error("must not nest all, exists, exists_one, map or filter")]
    Nested,
    /// Work or memory that could grow far beyond the answer.
    #[error("must not use {0}")]
    Costly(&'static str),
    /// A name that rules do not have.
    #[error("undeclared variable \"{0}\"; declared: {ANSWER_VARIABLE}")]
    Undeclared(String),
    /// The body is too large to look at.
    #[error("the answer's body is larger than {BODY_LIMIT} bytes")]
    BodyTooLarge,
    /// A list or object in the body is too large to look at.
    #[error("a list in the answer has more than {ELEMENT_LIMIT} elements")]
    ListTooLong,
    /// The expression failed.
    #[error("the rule cannot be evaluated on the answer: {0}")]
    Evaluation(&'static str),
    /// The expression gave something else than true or false.
    #[error("the rule must give true or false")]
    NotBoolean,
}

impl fmt::Debug for SuccessRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.program.as_ref().map(|program| program.source_info().source.as_str());
        formatter.debug_tuple("SuccessRule").field(&source).finish()
    }
}

impl SuccessRule {
    /// Compiles a rule and refuses what could cost too much.
    pub fn compile(source: &str) -> Result<Self, RuleFault> {
        if source.len() > SOURCE_LIMIT {
            return Err(RuleFault::TooLong);
        }
        rule_limits::check_source(source)?;
        let program = ENVIRONMENT.compile(source).map_err(|errors| {
            RuleFault::Syntax(errors.errors.first().map(|error| error.msg.clone()).unwrap_or_default())
        })?;
        rule_limits::check_expression(program.expression())?;
        Ok(Self { program: Some(Arc::new(program)) })
    }

    /// Whether the answer means success. Work is bounded by the limits on rule and body, not by time; callers
    /// that need a deadline run it in a worker of its own.
    pub fn evaluate(&self, answer: &Answer<'_>) -> Result<bool, RuleFault> {
        let Some(program) = &self.program else {
            return Ok((200..300).contains(&answer.status));
        };
        if answer.body.len() > BODY_LIMIT {
            return Err(RuleFault::BodyTooLarge);
        }
        let body = body_value(answer.body)?;
        let headers: HashMap<String, cel::Value> = answer
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), cel::Value::from(value.as_str())))
            .collect();
        let response: HashMap<String, cel::Value> = HashMap::from([
            ("status".to_owned(), cel::Value::Int(i64::from(answer.status))),
            ("headers".to_owned(), cel::Value::from(headers)),
            ("body".to_owned(), body),
        ]);
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_from_value(ANSWER_VARIABLE, response);
        match program.execute(&context) {
            Ok(cel::Value::Bool(success)) => Ok(success),
            Ok(_) => Err(RuleFault::NotBoolean),
            Err(error) => Err(RuleFault::Evaluation(explain(&error))),
        }
    }
}

/// A fixed text for an error, whose own text would quote the answer.
fn explain(error: &ExecutionError) -> &'static str {
    match error {
        ExecutionError::NoSuchKey(_) => "a field is missing",
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..) => "a value has another type than expected",
        ExecutionError::IndexOutOfBounds(_) => "a list is too short",
        ExecutionError::UndeclaredReference(_) => "it names an unknown variable or function",
        _ => "an operation failed",
    }
}

/// The body as CEL sees it: parsed JSON, else text.
fn body_value(body: &[u8]) -> Result<cel::Value, RuleFault> {
    match serde_json::from_slice::<Json>(body) {
        Ok(json) => to_cel(json),
        Err(_) => Ok(cel::Value::from(String::from_utf8_lossy(body).as_ref())),
    }
}

/// Converts JSON, integers to `int` wherever they fit, because rules compare with literals like `0`.
fn to_cel(json: Json) -> Result<cel::Value, RuleFault> {
    Ok(match json {
        Json::Null => cel::Value::Null,
        Json::Bool(value) => cel::Value::Bool(value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => cel::Value::Int(signed),
            (None, Some(unsigned)) => cel::Value::UInt(unsigned),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => cel::Value::from(text),
        Json::Array(elements) if elements.len() > ELEMENT_LIMIT => return Err(RuleFault::ListTooLong),
        Json::Array(elements) => {
            let values: Result<Vec<cel::Value>, RuleFault> = elements.into_iter().map(to_cel).collect();
            cel::Value::from(values?)
        }
        Json::Object(fields) if fields.len() > ELEMENT_LIMIT => return Err(RuleFault::ListTooLong),
        Json::Object(fields) => {
            let values: Result<HashMap<String, cel::Value>, RuleFault> =
                fields.into_iter().map(|(name, value)| Ok((name, to_cel(value)?))).collect();
            cel::Value::from(values?)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn evaluate(rule: &str, status: u16, body: &str) -> Result<bool, RuleFault> {
        let headers = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
        SuccessRule::compile(rule)?.evaluate(&Answer { status, headers: &headers, body: body.as_bytes() })
    }

    #[rstest]
    #[case("response.status == 200", "", Ok(true))]
    #[case("response.status < 300 && response.body.ok", r#"{"ok":false}"#, Ok(false))]
    #[case("response.body.ok == true", r#"{"ok":true}"#, Ok(true))]
    #[case("has(response.body.user)", r#"{"ok":true}"#, Ok(false))]
    #[case("response.body.count == 3", r#"{"count":3}"#, Ok(true))]
    #[case("response.body.count > 2", r#"{"count":3.5}"#, Ok(true))]
    #[case("response.body.id == 18446744073709551615u", r#"{"id":18446744073709551615}"#, Ok(true))]
    #[case("response.body.errors.size() == 0", r#"{"errors":[]}"#, Ok(true))]
    #[case("response.body.users.exists(user, user.id == 2)", r#"{"users":[{"id":1},{"id":2}]}"#, Ok(true))]
    #[case("response.body.a.filter(x, x > 1).map(x, x * 2).size() == 1", r#"{"a":[1,2]}"#, Ok(true))]
    #[case("response.body.matches('^ping .*')", "ping pong", Ok(true))]
    #[case("response.body.a.exists_one(x, x > 1)", r#"{"a":[1,2]}"#, Ok(true))]
    #[case("response.body.contains('pong')", "ping pong", Ok(true))]
    #[case("response.headers['content-type'].startsWith('application/json')", "", Ok(true))]
    #[case("type(response.body) == string", "<html>", Ok(true))]
    #[case(
        "response.body.ok",
        "<html>",
        Err(RuleFault::Evaluation("a value has another type than expected"))
    )]
    #[case("response.body.ok", "{}", Err(RuleFault::Evaluation("a field is missing")))]
    #[case("response.status", "", Err(RuleFault::NotBoolean))]
    fn rules_look_at_status_headers_and_body(
        #[case] rule: &str,
        #[case] body: &str,
        #[case] expected: Result<bool, RuleFault>,
    ) {
        assert_eq!(evaluate(rule, 200, body), expected);
    }

    #[rstest]
    #[case(199, false)]
    #[case(200, true)]
    #[case(204, true)]
    #[case(299, true)]
    #[case(302, false)]
    #[case(401, false)]
    fn without_a_rule_any_2xx_status_is_success(#[case] status: u16, #[case] expected: bool) {
        let body = vec![0; BODY_LIMIT + 1];
        let answer = Answer { status, headers: &BTreeMap::new(), body: &body };
        assert_eq!(SuccessRule::default().evaluate(&answer), Ok(expected));
    }

    #[rstest]
    #[case("response.body.a.all(x, x.b.all(y, y > 0))", RuleFault::Nested)]
    #[case("((((((((1))))))))  == 1", RuleFault::TooDeep)]
    #[case("response.body.a.map(x, [1].map(y, y + x)).size() > 0", RuleFault::Nested)]
    #[case(
        "response.body.a.map(x, x + x).size() > 0",
        RuleFault::Costly("+ inside all, exists, exists_one, map or filter")
    )]
    #[case(
        "response.body.a.matches(response.body.b)",
        RuleFault::Costly("matches with a pattern that is not written out")
    )]
    #[case("response.body.a.matches('(')", RuleFault::Costly("a pattern that is faulty or too large"))]
    #[case(
        "response.body.a.matches('((a{999}){999}){9}')",
        RuleFault::Costly("a pattern that is faulty or too large")
    )]
    #[case("responce.status == 200", RuleFault::Undeclared("responce".into()))]
    #[case("[1].all(x, x > 0) && x > 0", RuleFault::Undeclared("x".into()))]
    fn rules_that_cost_too_much_or_name_nothing_are_refused(#[case] rule: &str, #[case] fault: RuleFault) {
        assert_eq!(SuccessRule::compile(rule).map(|_| ()), Err(fault));
    }

    #[rstest]
    #[case("")]
    #[case("response.status ==")]
    #[case("((((")]
    #[case("'")]
    fn what_is_no_expression_is_refused(#[case] rule: &str) {
        assert!(matches!(SuccessRule::compile(rule), Err(RuleFault::Syntax(_))));
    }

    #[rstest]
    #[case::selections("response", ".a", "")]
    #[case::negations("", "!", "true")]
    #[case::minuses("", "-", "1")]
    #[case::brackets("", "[", "")]
    #[case::closed_parentheses("", "(", "1")]
    #[case::sums("1", "+1", "")]
    #[case::conjunctions("true", "&&true", "")]
    #[case::choices("true", "?true:true", "")]
    #[case::indices("response", "[0]", "")]
    #[case::calls("response", ".size()", "")]
    #[case::in_chain("1", " in 1", "")]
    fn long_chains_end_in_a_result_and_not_in_the_stack(
        #[case] start: &str,
        #[case] link: &str,
        #[case] end: &str,
    ) {
        // A thread of a runtime has no more stack than a thread of a test.
        let links = (SOURCE_LIMIT - start.len() - end.len()) / link.len();
        let source = format!("{start}{}{end}", link.repeat(links));
        if let Ok(rule) = SuccessRule::compile(&source) {
            let _ = rule.evaluate(&Answer { status: 200, headers: &BTreeMap::new(), body: b"{}" });
        }
    }

    #[test]
    fn limits_hold_before_anything_is_evaluated() {
        let long = format!("response.status == {}", "1".repeat(SOURCE_LIMIT));
        assert_eq!(evaluate(&long, 200, ""), Err(RuleFault::TooLong));
        assert_eq!(evaluate("true", 200, &"a".repeat(BODY_LIMIT + 1)), Err(RuleFault::BodyTooLarge));
        let list = serde_json::json!({ "deep": vec![0; ELEMENT_LIMIT + 1] }).to_string();
        assert_eq!(evaluate("true", 200, &list), Err(RuleFault::ListTooLong));
    }

    #[test]
    fn faults_never_quote_the_answer() {
        for rule in [
            "response.body.token + 1 == 2",
            "{'a': 1}[response.body.token] == 1",
            "1 / response.body.zero == 1",
        ] {
            let fault = evaluate(rule, 200, r#"{"token":"s3cret","zero":0}"#).unwrap_err();
            assert!(!fault.to_string().contains("s3cret"), "{rule}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn compiling_never_panics(source in "\\PC{0,64}") {
            let _ = SuccessRule::compile(&source);
        }

        #[test]
        fn rules_made_of_the_language_s_own_pieces_never_panic(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "response", ".", "status", "(", ")", "[", "]", "{", "}", "==", "?", ":", "'", "\"", "1", "1u",
                    "has", "all", "map", "exists", ",", "x", "&&", "!", "-", "+", "in", "0x", "1e9", "\\", "\n",
                    "b'", "r'", "`", "//", "size",
                ]),
                0..24,
            ),
        ) {
            let source = pieces.concat();
            if let Ok(rule) = SuccessRule::compile(&source) {
                let _ = rule.evaluate(&Answer { status: 200, headers: &BTreeMap::new(), body: b"{}" });
            }
        }
    }
}
