//! What documents point to is there, and what they say to run can be run.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Args, Command};
use liaison::runtime::Settings;

use crate::repository::{files, read, root};

fn documents() -> Vec<String> {
    let is_document = |path: &String| Path::new(path).extension().is_some_and(|extension| extension == "md");
    files("docs")
        .into_iter()
        .filter(is_document)
        .chain(["README.md", "CHANGELOG.md"].map(str::to_owned))
        .collect()
}

/// What `](…)` of a text points to within the repository, without the part after `#`. Code is no text.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split('`').step_by(2);
    let targets = prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    let local =
        targets.filter(|target| !target.contains("://")).filter_map(|target| target.split('#').next());
    local.filter(|target| !target.is_empty()).collect()
}

#[test]
fn every_link_leads_to_a_file() {
    let mut broken = Vec::new();
    for document in documents() {
        let folder = root().join(&document).parent().unwrap().to_owned();
        let text = read(&document);
        broken.extend(
            links(&text)
                .into_iter()
                .filter(|link| !folder.join(link).exists())
                .map(|link| format!("{document}: {link}")),
        );
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_make_target_that_documents_name_exists() {
    let makefile = read("Makefile");
    let targets: BTreeSet<_> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    for document in documents() {
        let text = read(&document);
        let commands = text.lines().filter_map(|line| line.trim_start().strip_prefix("make "));
        let inline = text.split("`make ").skip(1).filter_map(|rest| rest.split('`').next());
        for target in commands.chain(inline).filter_map(|command| command.split_whitespace().next()) {
            assert!(targets.contains(target), "{document}: make {target}");
        }
    }
}

#[test]
fn the_readme_lists_every_setting() {
    let readme = read("README.md");
    let command = Settings::augment_args(Command::new("run"));
    let flags: BTreeSet<_> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
    for flag in &flags {
        assert!(readme.contains(&format!("`--{flag}`")), "README.md lacks --{flag}");
    }
    let table = readme.lines().filter(|line| line.starts_with("| `--"));
    let named =
        table.flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2));
    for flag in named {
        assert!(flags.contains(flag.trim_start_matches("--")), "README.md names {flag}, which is no setting");
    }
}

/// What is between fences, by the language that they name.
fn code<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn what_the_document_of_the_token_endpoint_shows_is_what_the_example_has() {
    let (document, example) = (read("docs/token-endpoint.md"), read("examples/06-workload.yaml"));
    let has: BTreeSet<_> = example.lines().map(str::trim).collect();
    for language in ["yaml", "sh"] {
        let shown = code(&document, language).concat();
        assert!(!shown.is_empty(), "{language}");
        let lacking: Vec<_> = shown.lines().map(str::trim).filter(|line| !has.contains(line)).collect();
        assert!(lacking.is_empty(), "{lacking:#?}");
    }
}

#[test]
fn links_are_told_from_addresses_and_anchors() {
    assert_eq!(links("[a](b.md#c) `[x](y)` [d](https://e.example/f) [g](#h) [i](../j)"), ["b.md", "../j"]);
}
