//! Rules that hold for every text of the repository.

use crate::repository::{files, read, rust_files};
use crate::rust_text::words;

const FOLDERS: [&str; 5] = ["src", "tests", "docs", "charts", "examples"];

/// Texts that others made, as they made them: where packages were, by their checksums.
fn is_lock(path: &str) -> bool {
    path.ends_with("package-lock.json") || path.ends_with("go.sum") || path.ends_with("go.mod")
}

/// `file:line` of each line of our texts for which `found` says yes.
fn lines_where(found: impl Fn(&str) -> bool) -> Vec<String> {
    let ours = FOLDERS.into_iter().flat_map(files).filter(|path| !is_lock(path));
    ours.chain(["README.md", "CHANGELOG.md", "Makefile", "deny.toml"].map(str::to_owned))
        .flat_map(|path| {
            let text = read(&path);
            let lines = text.lines().enumerate().filter(|(_, line)| found(line));
            lines.map(|(at, _)| format!("{path}:{}", at + 1)).collect::<Vec<_>>()
        })
        .collect()
}

fn nowhere(found: &[String], what: &str) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Put together here, so that this file does not break its own rule.
fn joined(parts: &[[&str; 2]]) -> Vec<String> {
    parts.iter().map(|parts| parts.concat()).collect()
}

#[test]
fn no_code_is_unsafe() {
    let mut found = Vec::new();
    for path in ["src", "tests"].into_iter().flat_map(rust_files) {
        let words = words(&read(&path));
        let unsafe_words = words.iter().filter(|word| word.text == "unsafe");
        found.extend(unsafe_words.map(|word| format!("{path}:{}", word.line)));
    }
    nowhere(&found, "unsafe code");
}

#[test]
fn no_text_names_a_path_of_one_machine() {
    let roots = joined(&[["/ho", "me/"], ["/ro", "ot/"], ["/wo", "rk/"], ["/Us", "ers/"], ["C:", "\\"]]);
    // A part of a longer path or of an address is no path of a machine.
    let begins = |line: &str, root: &str| {
        line.match_indices(root)
            .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "./_-}".contains(c)))
    };
    nowhere(&lines_where(|line| roots.iter().any(|root| begins(line, root))), "paths of one machine");
}

#[test]
fn no_text_names_a_package_registry() {
    let hosts = joined(&[
        ["crates", ".io"],
        ["npmjs", ".org"],
        ["npmjs", ".com"],
        ["proxy.golang", ".org"],
        ["pypi", ".org"],
    ]);
    nowhere(&lines_where(|line| hosts.iter().any(|host| line.contains(host))), "package registries");
}

#[test]
fn no_text_leaves_something_for_later() {
    let marks = joined(&[["TO", "DO"], ["FIX", "ME"], ["XX", "X"]]);
    let is_mark = |word: &str| marks.iter().any(|mark| mark == word);
    let marked = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(is_mark);
    nowhere(&lines_where(marked), "left for later");
}

#[test]
fn the_compiler_refuses_what_the_house_refuses() {
    let manifest = read("Cargo.toml");
    let lints: Vec<&str> = manifest.lines().skip_while(|line| *line != "[lints.rust]").collect();
    assert!(lints.contains(&"unsafe_code = \"forbid\""));
    for denied in [
        "dbg_macro",
        "panic",
        "print_stdout",
        "print_stderr",
        "todo",
        "unimplemented",
        "unwrap_used",
        "expect_used",
    ] {
        assert!(lints.contains(&format!("{denied} = \"deny\"").as_str()), "{denied}");
    }
}
