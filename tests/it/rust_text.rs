//! Rust text as words with their lines: enough to see who names whom and how long things are, without a compiler.
//! Comments are left out, so nothing that is only talked about counts.

/// An identifier, a number, `::`, one other character, or a literal text (which begins with `"`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A module that is compiled for tests only and has a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestModule {
    pub(crate) name: String,
    /// What `#[path = …]` says.
    pub(crate) path: Option<String>,
}

/// The words of a text.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let (length, kept) = measure(rest, first);
        let (word, after) = rest.split_at(length);
        if kept {
            let text = if is_quoted(word) { format!("\"{}", inside(word)) } else { word.to_owned() };
            words.push(Word { text, line });
        }
        line += word.matches('\n').count();
        rest = after;
    }
    words
}

/// How long the word at the start is, and whether it is worth keeping.
fn measure(rest: &str, first: char) -> (usize, bool) {
    if first.is_whitespace() {
        return (first.len_utf8(), false);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), false);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), false);
    }
    if let Some(length) = raw_text(rest).or_else(|| plain_text(rest)) {
        return (length, true);
    }
    if first == '\'' {
        return (character_or_lifetime(rest), false);
    }
    if first.is_alphanumeric() || first == '_' {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        return (end.unwrap_or(rest.len()), true);
    }
    if rest.starts_with("::") { (2, true) } else { (first.len_utf8(), true) }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `br#"…"#` and the like.
fn raw_text(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| rest.starts_with(prefix))?;
    let marks = &rest[prefix.len()..];
    let hashes = marks.len() - marks.trim_start_matches('#').len();
    let body = marks[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(prefix.len() + hashes + 1 + length)
}

/// `"…"`, `b"…"` and the like.
fn plain_text(rest: &str) -> Option<usize> {
    let prefixes = ["b\"", "c\"", "\""];
    let start = prefixes.into_iter().find(|prefix| rest.starts_with(prefix))?.len();
    let mut escaped = false;
    for (at, character) in rest[start..].char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(start + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

fn character_or_lifetime(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some(_)) => {
            characters.find(|(_, c)| *c == '\'').map_or(rest.len(), |(at, _)| at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

fn is_quoted(word: &str) -> bool {
    word.len() > 1 && word.ends_with(['"', '#']) && word.contains('"')
}

fn inside(word: &str) -> &str {
    let start = word.find('"').map_or(0, |at| at + 1);
    let end = word.rfind('"').unwrap_or(word.len()).max(start);
    &word[start..end]
}

/// What of a text is compiled outside of tests.
pub(crate) struct Production {
    pub(crate) words: Vec<Word>,
    pub(crate) test_modules: Vec<TestModule>,
    /// Lines, those of test modules left out.
    pub(crate) lines: usize,
}

/// Takes away what `#[cfg(test)]` stands before.
pub(crate) fn production(text: &str) -> Production {
    let all = words(text);
    let mut production =
        Production { words: Vec::new(), test_modules: Vec::new(), lines: text.lines().count() };
    let mut at = 0;
    while at < all.len() {
        if !reads(&all[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            production.words.push(all[at].clone());
            at += 1;
            continue;
        }
        let (end, module) = test_item(&all, at);
        let last = all.get(end - 1).map_or(0, |word| word.line);
        production.lines -= (last + 1).saturating_sub(all[at].line);
        production.test_modules.extend(module);
        at = end;
    }
    production
}

/// Whether the words begin with these.
pub(crate) fn reads(words: &[Word], expected: &[&str]) -> bool {
    words.len() >= expected.len() && words.iter().zip(expected).all(|(word, expected)| word.text == *expected)
}

/// Where the item that begins with the attribute at `start` ends, and its name if it is a module in another file.
fn test_item(words: &[Word], start: usize) -> (usize, Option<TestModule>) {
    let (mut at, mut path) = (start, None);
    while reads(&words[at..], &["#", "["]) {
        if reads(&words[at..], &["#", "[", "path", "="]) {
            path = words.get(at + 4).map(|word| word.text.trim_start_matches('"').to_owned());
        }
        at = closing(words, at + 1);
    }
    let ends_with_semicolon = ["use", "const", "static", "type"].contains(&words[at].text.as_str());
    let item = at;
    while at < words.len() {
        match words[at].text.as_str() {
            ";" => {
                let module = reads(&words[item..], &["mod"])
                    .then(|| TestModule { name: words[item + 1].text.clone(), path });
                return (at + 1, module);
            }
            "{" if !ends_with_semicolon => return (closing(words, at), None),
            "{" | "(" | "[" => at = closing(words, at),
            _ => at += 1,
        }
    }
    (at, None)
}

/// The position after the bracket that closes the one at `open`.
pub(crate) fn closing(words: &[Word], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, word) in words.iter().enumerate().skip(open) {
        match word.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    words.len()
}

/// A path such as `crate::api::names`, taken out of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

/// All paths of two segments or more.
pub(crate) fn paths(words: &[Word]) -> Vec<NamedPath> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if is_name(&words[at]) && words.get(at + 1).is_some_and(|word| word.text == "::") {
            at = path(words, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads the path at `at` and, if it ends in a group, all paths in that group.
fn path(words: &[Word], mut at: usize, prefix: &[String], found: &mut Vec<NamedPath>) -> usize {
    let mut segments = prefix.to_vec();
    let line = words[at].line;
    loop {
        match words.get(at).map(|word| word.text.as_str()) {
            Some("{") if !segments.is_empty() => return group(words, at, &segments, found),
            Some("*") => segments.push("*".to_owned()),
            Some(_) if is_name(&words[at]) => segments.push(words[at].text.clone()),
            // A turbofish, or the end.
            _ => break,
        }
        at += 1;
        if words.get(at).is_none_or(|word| word.text != "::") {
            break;
        }
        at += 1;
    }
    found.push(NamedPath { segments, line });
    at
}

fn group(words: &[Word], open: usize, prefix: &[String], found: &mut Vec<NamedPath>) -> usize {
    let end = closing(words, open);
    let mut at = open + 1;
    while at + 1 < end {
        if is_name(&words[at]) || words[at].text == "*" {
            at = path(words, at, prefix, found);
            if reads(&words[at..], &["as"]) {
                at += 2;
            }
        } else {
            at += 1;
        }
    }
    end
}

fn is_name(word: &Word) -> bool {
    word.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// All functions with a body.
pub(crate) fn functions(words: &[Word]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some(name) = words.get(at + 1).filter(|name| word.text == "fn" && is_name(name)) else {
            continue;
        };
        let mut after = at + 2;
        let body = loop {
            match words.get(after).map(|word| word.text.as_str()) {
                Some("{") => break Some(after),
                Some("(" | "[") => after = closing(words, after),
                Some(";") | None => break None,
                Some(_) => after += 1,
            }
        };
        let Some(body) = body else { continue };
        let last = words[closing(words, body) - 1].line;
        found.push(Function { name: name.text.clone(), line: word.line, lines: last - word.line + 1 });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn comments_lifetimes_and_characters_are_no_words() {
        let text = "a /* b /* c */ */ // d\n'{' '\\'' fn f<'x>()";
        assert_eq!(texts(text), ["a", "fn", "f", "<", "x", ">", "(", ")"]);
    }

    #[test]
    fn literal_texts_are_marked_whatever_their_form() {
        assert_eq!(texts(r##""a{" b"c\"d" r#"e"f"# r"g""##), ["\"a{", "\"c\\\"d", "\"e\"f", "\"g"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_texts() {
        let lines: Vec<_> = words("a\n/*\n*/ b \"\n\" c").into_iter().map(|word| word.line).collect();
        assert_eq!(lines, [1, 3, 3, 4]);
    }

    #[test]
    fn nested_groups_are_taken_apart() {
        let found = paths(&words("use crate::{api::{A, b::C as D}, web::*};"));
        let joined: Vec<_> = found.iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(joined, ["crate::api::A", "crate::api::b::C", "crate::web::*"]);
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        let text = "use a::b;\n#[cfg(test)]\nmod inside {\n use c::d;\n}\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod outside;\nfn f() {}";
        let production = production(text);
        assert_eq!(production.lines, 2);
        assert_eq!(paths(&production.words).len(), 1);
        assert_eq!(
            production.test_modules,
            [TestModule { name: "outside".to_owned(), path: Some("x.rs".to_owned()) }]
        );
    }

    #[test]
    fn a_function_is_as_long_as_from_its_name_to_its_last_bracket() {
        let found = functions(&words("trait T { fn a(); }\nfn b() -> X {\n  let y = [1; 2];\n}"));
        assert_eq!(found, [Function { name: "b".to_owned(), line: 2, lines: 3 }]);
    }
}
