//! Each behaviour that is written down has a test of its name, and each such test a row.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::{read, rust_files};
use crate::rust_text::words;

/// Rows of the table: identifier and statement.
fn rows(text: &str) -> BTreeMap<String, String> {
    let cells =
        text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let rows = cells.filter(|(row, _)| is_row(row));
    rows.map(|(row, statement)| (row.to_owned(), statement.to_owned())).collect()
}

fn is_row(text: &str) -> bool {
    text.len() == 3 && text.starts_with(['S', 'N']) && text[1..].bytes().all(|byte| byte.is_ascii_digit())
}

/// Rows that names of test functions begin with, such as `s05_…`.
fn tested(text: &str) -> BTreeSet<String> {
    let words = words(text);
    let names = words.windows(2).filter(|pair| pair[0].text == "fn").map(|pair| pair[1].text.to_uppercase());
    names
        .filter_map(|name| name.split_once('_').map(|(row, _)| row.to_owned()))
        .filter(|row| is_row(row))
        .collect()
}

fn all_tested() -> BTreeSet<String> {
    ["src", "tests"].into_iter().flat_map(rust_files).flat_map(|path| tested(&read(&path))).collect()
}

#[test]
fn every_row_has_a_test() {
    let tested = all_tested();
    let untested: Vec<_> =
        rows(&read("docs/behaviours.md")).into_keys().filter(|row| !tested.contains(row)).collect();
    assert!(untested.is_empty(), "no test is named after {untested:?}");
}

#[test]
fn every_test_of_a_row_has_its_row() {
    let rows = rows(&read("docs/behaviours.md"));
    let unwritten: Vec<_> = all_tested().into_iter().filter(|row| !rows.contains_key(row)).collect();
    assert!(unwritten.is_empty(), "docs/behaviours.md lacks {unwritten:?}");
}

#[test]
fn every_row_states_something() {
    let rows = rows(&read("docs/behaviours.md"));
    assert!(rows.len() >= 19, "{}", rows.len());
    assert!(rows.values().all(|statement| statement.ends_with('.')), "{rows:?}");
}

#[test]
fn rows_and_tests_are_found_by_their_form() {
    let text = "| Row | Statement |\n|---|---|\n| S05 | One. |\n| N16 | Two. |\n| S5 | no |";
    assert_eq!(rows(text).into_keys().collect::<Vec<_>>(), ["N16", "S05"]);
    let code = "async fn s05_one() {}\nfn n16_two() {}\n// fn s06_three() {}\nfn setting_four() {}";
    assert_eq!(tested(code).into_iter().collect::<Vec<_>>(), ["N16", "S05"]);
}
