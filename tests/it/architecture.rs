//! The shape of the code: who may name whom, what the pure ring stays away from, and how long things are.
//!
//! ```text
//! bin → runtime → { cluster  provider  web  plugin } → ports → { pages  oauth  envelope  domain  catalogue } → api
//! ```
//! An arrow may skip what lies between. None points to the left, and the four adapters do not know each other.

mod checker;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::repository::{read, rust_files};
use crate::rust_text::{NamedPath, Production, Word, functions, paths, production};

/// Top-level modules, and what each may name. A path allows itself and all below it.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "bin",
        &[
            "runtime",
            "cluster",
            "provider",
            "web",
            "plugin",
            "ports",
            "pages",
            "oauth",
            "envelope",
            "domain",
            "catalogue",
            "api",
        ],
    ),
    (
        "runtime",
        &["cluster", "provider", "web", "plugin", "ports", "oauth", "envelope", "domain", "catalogue", "api"],
    ),
    ("cluster", &["ports", "oauth", "envelope", "domain", "catalogue", "api"]),
    ("provider", &["ports", "oauth", "envelope", "domain", "catalogue", "api"]),
    ("web", &["ports", "pages", "oauth", "envelope", "domain", "catalogue", "api"]),
    ("plugin", &["ports", "pages", "oauth", "envelope", "domain", "catalogue", "api"]),
    ("ports", &["oauth", "envelope", "domain", "catalogue", "api"]),
    // Texts for a person's eyes. What they tell of is handed to them.
    ("pages", &[]),
    // A failure carries the word that conditions use for it; no decision is made here.
    ("oauth", &["domain::reason", "catalogue", "api"]),
    ("envelope", &["api"]),
    ("domain", &["catalogue", "api"]),
    ("catalogue", &["api"]),
    ("api", &[]),
    // The map: declares the modules and names none.
    ("lib", &[]),
];

/// Modules whose results depend on their arguments alone.
const PURE: [&str; 6] = ["api", "catalogue", "domain", "oauth", "envelope", "pages"];

/// What the pure ring does not name: the network, the clock, chance, the environment, and log lines.
const IMPURE: &[&str] = &[
    "tokio",
    "reqwest",
    "axum",
    "hyper",
    "tracing",
    "kube::Client",
    "kube::Api",
    "kube::api",
    "kube::client",
    "kube::runtime",
    "Timestamp::now",
    "Zoned::now",
    "SystemTime",
    "Instant",
    "rand",
    "getrandom",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
];

/// Modules that may look inside a secret.
const OPENS_SECRETS: [&str; 3] = ["oauth", "envelope", "provider"];

const FILE_LIMIT: usize = 400;
const FUNCTION_LIMIT: usize = 60;

/// Files that are longer, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that are longer, and why.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[(
    "src/runtime/controllers.rs",
    "run",
    "the wiring of all watches, read from top to bottom; it decides nothing",
)];

/// One source file.
struct Source {
    path: String,
    module: String,
    /// How many modules lie above what the file's items are in, itself included.
    depth: usize,
    production: Production,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let below: Vec<&str> = path.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
        let depth = if below.last() == Some(&"mod") { below.len() - 1 } else { below.len() };
        Self { path: path.to_owned(), module: below[0].to_owned(), depth, production: production(text) }
    }

    /// Paths inside of this package, from its root. `super` is followed where it leaves the top-level module.
    fn own_paths(&self) -> Vec<NamedPath> {
        let from_root = |path: NamedPath| {
            let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
            let skipped = match path.segments[0].as_str() {
                "crate" => 1,
                "liaison" if self.module == "bin" => 1,
                "super" if supers >= self.depth => supers,
                _ => return None,
            };
            let segments = path.segments[skipped..].to_vec();
            (!segments.is_empty()).then_some(NamedPath { segments, line: path.line })
        };
        paths(&self.production.words).into_iter().filter_map(from_root).collect()
    }
}

/// All files under `src` that are compiled outside of tests.
fn sources() -> Vec<Source> {
    production_and_tests().0
}

/// All files that are compiled for tests alone.
fn test_files() -> Vec<Source> {
    let beside = rust_files("tests").into_iter().map(|path| Source::new(&path, &read(&path)));
    production_and_tests().1.into_iter().chain(beside).collect()
}

fn production_and_tests() -> (Vec<Source>, Vec<Source>) {
    let all: Vec<Source> = rust_files("src").iter().map(|path| Source::new(path, &read(path))).collect();
    let mut tests: BTreeSet<PathBuf> = BTreeSet::new();
    for source in &all {
        tests.extend(source.production.test_modules.iter().map(|module| {
            let folder = Path::new(&source.path).parent().unwrap();
            let stem = Path::new(&source.path).file_stem().unwrap();
            match &module.path {
                Some(path) => normalised(&folder.join(path.trim_end_matches("/mod.rs"))),
                None if stem == "mod" || stem == "lib" => folder.join(&module.name),
                None => folder.join(stem).join(&module.name),
            }
        }));
    }
    let is_test = |path: &str| {
        let path = Path::new(path);
        path.ancestors().any(|ancestor| tests.contains(ancestor)) || tests.contains(&path.with_extension(""))
    };
    all.into_iter().partition(|source| !is_test(&source.path))
}

fn normalised(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts
}

/// Whether one module may name a path of this package.
fn may_name(module: &str, segments: &[String]) -> bool {
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == module) else { return false };
    let named = segments.join("::");
    segments[0] == module
        || allowed
            .iter()
            .any(|allowed| named.strip_prefix(allowed).is_some_and(|r| r.is_empty() || r.starts_with("::")))
}

fn edges_against_the_arrows(source: &Source) -> Vec<String> {
    let known = |segments: &[String]| ALLOWED.iter().any(|(name, _)| *name == segments[0]);
    let mut breaches = Vec::new();
    if !known(std::slice::from_ref(&source.module)) {
        breaches.push(format!("{}:1: module {} has no place among the layers", source.path, source.module));
    }
    for path in source.own_paths().into_iter().filter(|path| !may_name(&source.module, &path.segments)) {
        let named = path.segments.join("::");
        breaches.push(format!("{}:{}: {} must not name {named}", source.path, path.line, source.module));
    }
    breaches
}

fn impurities(source: &Source) -> Vec<String> {
    if !PURE.contains(&source.module.as_str()) {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    for path in paths(&source.production.words) {
        let named = format!("::{}::", path.segments.join("::"));
        for impure in IMPURE.iter().filter(|impure| named.contains(&format!("::{impure}::"))) {
            breaches.push(format!(
                "{}:{}: {} must stay pure and names {impure}",
                source.path, path.line, source.module
            ));
        }
    }
    let waits = source.production.words.iter().filter(|word| word.text == "async" || word.text == "await");
    breaches
        .extend(waits.map(|word| format!("{}:{}: {} must not wait", source.path, word.line, source.module)));
    breaches
}

fn opened_secrets(source: &Source) -> Vec<String> {
    if OPENS_SECRETS.contains(&source.module.as_str()) {
        return Vec::new();
    }
    let opens = |word: &&Word| word.text == "expose_secret" || word.text == "ExposeSecret";
    let found = source.production.words.iter().filter(opens);
    found
        .map(|word| format!("{}:{}: {} must not open secrets", source.path, word.line, source.module))
        .collect()
}

fn too_long(source: &Source, long_files: &[(&str, &str)]) -> Vec<String> {
    let mut breaches = too_long_a_file(source, long_files);
    breaches.extend(too_long_functions(source));
    breaches
}

fn too_long_a_file(source: &Source, long_files: &[(&str, &str)]) -> Vec<String> {
    let excepted = long_files.iter().any(|(path, _)| *path == source.path);
    let lines = source.production.lines;
    let mut breaches = Vec::new();
    if lines > FILE_LIMIT && !excepted {
        breaches.push(format!("{}:1: {lines} lines, more than {FILE_LIMIT}", source.path));
    }
    if lines <= FILE_LIMIT && excepted {
        breaches.push(format!("{}:1: no longer needs an exception from the limit", source.path));
    }
    breaches
}

fn too_long_functions(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    for function in functions(&source.production.words) {
        let is_this = |(path, name, _): &&(&str, &str, &str)| *path == source.path && *name == function.name;
        if function.lines > FUNCTION_LIMIT && LONG_FUNCTIONS.iter().find(is_this).is_none() {
            let (name, lines) = (&function.name, function.lines);
            breaches.push(format!(
                "{}:{}: {name} has {lines} lines, more than {FUNCTION_LIMIT}",
                source.path, function.line
            ));
        }
    }
    let long = |name: &str| {
        functions(&source.production.words).iter().any(|f| f.name == name && f.lines > FUNCTION_LIMIT)
    };
    for (path, name, _) in LONG_FUNCTIONS.iter().filter(|(path, name, _)| *path == source.path && !long(name))
    {
        breaches.push(format!("{path}:1: {name} no longer needs an exception from the limit"));
    }
    breaches
}

fn none(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

#[test]
fn no_arrow_points_to_the_left() {
    none(&sources().iter().flat_map(edges_against_the_arrows).collect::<Vec<_>>());
}

#[test]
fn the_inner_ring_is_pure() {
    none(&sources().iter().flat_map(impurities).collect::<Vec<_>>());
}

#[test]
fn only_the_protocol_the_envelope_and_the_sender_open_secrets() {
    none(&sources().iter().flat_map(opened_secrets).collect::<Vec<_>>());
}

#[test]
fn files_and_functions_stay_short() {
    let mut breaches: Vec<_> = sources().iter().flat_map(|source| too_long(source, LONG_FILES)).collect();
    // A test may tell a whole story from its beginning to its end.
    breaches.extend(test_files().iter().flat_map(|source| too_long_a_file(source, LONG_FILES)));
    let there: BTreeSet<_> = rust_files("src").into_iter().collect();
    let excepted =
        LONG_FILES.iter().map(|(path, _)| *path).chain(LONG_FUNCTIONS.iter().map(|(path, _, _)| *path));
    breaches.extend(
        excepted.filter(|path| !there.contains(*path)).map(|path| format!("{path}: is not there any more")),
    );
    none(&breaches);
}

#[test]
fn the_list_of_layers_has_no_cycle() {
    let position = |name: &str| ALLOWED.iter().position(|(module, _)| *module == name).unwrap();
    for (module, allowed) in ALLOWED {
        for named in *allowed {
            let top = named.split("::").next().unwrap();
            assert!(position(module) < position(top), "{module} → {named}");
        }
    }
}

#[test]
fn tests_are_told_from_the_rest() {
    let paths: Vec<_> = sources().into_iter().map(|source| source.path).collect();
    for test in [
        "src/envelope/tests.rs",
        "src/oauth/testing.rs",
        "src/catalogue/tests/check/mod.rs",
        "src/catalogue/tests/check/faults.rs",
        "src/provider/tests/mod.rs",
    ] {
        assert!(!paths.iter().any(|path| path == test), "{test}");
    }
    assert!(paths.iter().any(|path| path == "src/oauth/failure.rs"));
}
