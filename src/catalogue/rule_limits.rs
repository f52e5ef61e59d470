//! Limits on the shape of CEL rules. The crate's parser and evaluator recurse: without limits, a rule of a few
//! dozen brackets ends the process by overflowing its stack, which nothing can catch.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use regex::RegexBuilder;

use super::success::{ANSWER_VARIABLE, RuleFault};

/// Brackets inside brackets that a rule may have. The parser takes about 150 KB of stack for each in a build
/// without optimisation, and a worker thread has 2 MB.
const BRACKET_LIMIT: usize = 7;
/// Operations inside operations that a rule may have.
const EXPRESSION_LIMIT: usize = 64;
/// Bytes that a compiled pattern may take; it is compiled anew at each use.
const PATTERN_SIZE_LIMIT: usize = 1 << 18;

/// Checks the nesting of brackets before the parser sees the text. Whatever could make this reading differ from
/// the parser's is refused, because its error recovery reads the inside of a faulty string as code.
pub(super) fn check_source(source: &str) -> Result<(), RuleFault> {
    let syntax = |problem: &str| Err(RuleFault::Syntax(problem.to_owned()));
    let mut depth = 0_usize;
    let mut word_start = 0;
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let at = source.len() - rest.len();
        rest = &rest[character.len_utf8()..];
        if character.is_alphanumeric() || character == '_' {
            continue;
        }
        let word = &source[word_start..at];
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return syntax("a closing bracket has no opening one"),
            ')' | ']' | '}' => depth -= 1,
            '/' if rest.starts_with('/') => rest = rest.find('\n').map_or("", |end| &rest[end..]),
            '`' => return syntax("write [\"name\"] instead of back-ticks"),
            '"' | '\'' => rest = skip_string(&source[at..], word)?,
            _ => {}
        }
        if depth > BRACKET_LIMIT {
            return Err(RuleFault::TooDeep);
        }
        word_start = source.len() - rest.len();
    }
    if depth == 0 { Ok(()) } else { syntax("a bracket is never closed") }
}

/// What follows a string literal. `word` is what stands before its quote.
fn skip_string<'a>(text: &'a str, word: &str) -> Result<&'a str, RuleFault> {
    let syntax = |problem: &str| RuleFault::Syntax(problem.to_owned());
    let raw = match word.to_ascii_lowercase().as_str() {
        "" | "b" => false,
        "r" | "br" => true,
        _ => return Err(syntax("a string follows a name")),
    };
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let end = if text.starts_with(&triple) { triple.as_str() } else { quote };
    let inside = &text[end.len()..];
    let mut at = 0;
    loop {
        let remaining = &inside[at..];
        if remaining.starts_with(end) {
            break;
        }
        let character = remaining.chars().next().ok_or_else(|| syntax("a string is never closed"))?;
        if end.len() == 1 && matches!(character, '\n' | '\r') {
            return Err(syntax("a string is never closed"));
        }
        at += character.len_utf8();
        if character == '\\' && !raw {
            let escaped = inside[at..].chars().next();
            if !escaped.is_some_and(|escaped| matches!(escaped, 'n' | 'r' | 't' | '\\' | '"' | '\'')) {
                return Err(syntax(
                    "after a backslash only n, r, t, a quote or a backslash; or write r'...'",
                ));
            }
            at += 1;
        }
    }
    Ok(&inside[at + end.len()..])
}

/// Checks a parsed rule: no comprehension inside another, no undeclared name, no endless chain.
pub(super) fn check_expression(expression: &IdedExpr) -> Result<(), RuleFault> {
    let mut walk = Walk { names: vec![ANSWER_VARIABLE.to_owned()], inside_comprehension: false, depth: 0 };
    walk.expression(expression)
}

struct Walk {
    names: Vec<String>,
    inside_comprehension: bool,
    depth: usize,
}

impl Walk {
    fn expression(&mut self, expression: &IdedExpr) -> Result<(), RuleFault> {
        if self.depth == EXPRESSION_LIMIT {
            return Err(RuleFault::TooDeep);
        }
        self.depth += 1;
        let outcome = self.parts(expression);
        self.depth -= 1;
        outcome
    }

    fn parts(&mut self, expression: &IdedExpr) -> Result<(), RuleFault> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if self.names.contains(name) || is_type_name(name) => Ok(()),
            Expr::Ident(name) => Err(RuleFault::Undeclared(name.clone())),
            Expr::Call(call) => {
                self.cost(call)?;
                let target = call.target.iter().map(AsRef::as_ref);
                target.chain(&call.args).try_for_each(|part| self.expression(part))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|part| self.expression(part)),
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(fields) => fields.entries.iter().try_for_each(|entry| self.entry(&entry.expr)),
            Expr::Comprehension(_) if self.inside_comprehension => Err(RuleFault::Nested),
            Expr::Comprehension(comprehension) => {
                // A comprehension over the result of another one is fine: their costs add up.
                self.expression(&comprehension.iter_range)?;
                self.expression(&comprehension.accu_init)?;
                let declared = self.names.len();
                self.names.push(comprehension.iter_var.clone());
                self.names.extend(comprehension.iter_var2.clone());
                self.names.push(comprehension.accu_var.clone());
                self.inside_comprehension = true;
                let parts = [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
                let outcome = parts.into_iter().try_for_each(|part| self.expression(part));
                self.inside_comprehension = false;
                self.names.truncate(declared);
                outcome
            }
        }
    }

    /// Refuses calls whose work or result could grow far beyond the answer.
    fn cost(&self, call: &CallExpr) -> Result<(), RuleFault> {
        let first = call.args.first().map(|argument| &argument.expr);
        // Macros add to accumulators, whose names no rule can write.
        let adds_to_accumulator = matches!(first, Some(Expr::Ident(name)) if name.starts_with('@'));
        if self.inside_comprehension && call.func_name == operators::ADD && !adds_to_accumulator {
            return Err(RuleFault::Costly("+ inside all, exists, exists_one, map or filter"));
        }
        if call.func_name == "matches" {
            let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|last| &last.expr)
            else {
                return Err(RuleFault::Costly("matches with a pattern that is not written out"));
            };
            if RegexBuilder::new(pattern.inner()).size_limit(PATTERN_SIZE_LIMIT).build().is_err() {
                return Err(RuleFault::Costly("a pattern that is faulty or too large"));
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &EntryExpr) -> Result<(), RuleFault> {
        match entry {
            EntryExpr::StructField(field) => self.expression(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key)?;
                self.expression(&entry.value)
            }
        }
    }
}

/// Type names, which rules need for `type(x) == string`.
fn is_type_name(name: &str) -> bool {
    matches!(name, "bool" | "bytes" | "double" | "int" | "list" | "map" | "null_type" | "string" | "uint")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("f(a[b], {'c': (d)})")]
    #[case::seven("((((((( 1 )))))))")]
    #[case::side_by_side("(1)+(2)+(3)+(4)+(5)+(6)+(7)+(8)+(9)")]
    #[case::in_string("a == '(((((((((('")]
    #[case::in_triple_string("a == \"\"\"((((((((\"(\n\"\"\"")]
    #[case::in_raw_string("a.matches(r'\\d((((((((x))))))))')")]
    #[case::in_comment("a // ((((((((((\n == b")]
    #[case::escaped_quote("a == 'it\\'s' && f('b')")]
    fn what_nests_little_goes_to_the_parser(#[case] source: &str) {
        assert_eq!(check_source(source), Ok(()));
    }

    #[rstest]
    #[case::eight("(((((((( 1 ))))))))")]
    #[case::mixed("a({[(a[{([1])}])]})")]
    #[case::closed_in_strings("(')'(')'(')'(')'(')'(')'(')'(')'")]
    #[case::closed_in_a_comment("(((((( // ))))))\n ((")]
    fn what_nests_deeply_does_not(#[case] source: &str) {
        assert_eq!(check_source(source), Err(RuleFault::TooDeep));
    }

    #[rstest]
    #[case::unclosed("(1")]
    #[case::unopened("1)")]
    #[case::string("'((((((((((")]
    #[case::two_lines("'((((\n(((((('")]
    #[case::back_ticks("a.`((((((((`")]
    #[case::unknown_prefix("rb'\\'((((((((((")]
    #[case::word_before_a_string("for'(((((((('")]
    #[case::escape_that_the_parser_may_refuse("'\\z(((((((((('")]
    #[case::escape_that_makes_the_next_string_code("'\\z' + '(((((((((('")]
    #[case::escape_at_the_end("'\\")]
    fn what_the_parser_could_read_in_another_way_is_refused(#[case] source: &str) {
        assert!(matches!(check_source(source), Err(RuleFault::Syntax(_))));
    }

    proptest! {
        #[test]
        fn checking_never_panics(source in "[\"'`(){}\\[\\]rb/\\\\\\n\\PC]*") {
            let _ = check_source(&source);
        }
    }
}
