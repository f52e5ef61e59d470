//! The checker itself, on texts with a breach in them.

use super::*;

#[test]
fn an_edge_against_the_arrows_is_named_with_file_and_line() {
    let source =
        Source::new("src/domain/x.rs", "use crate::{\n    api::Folder,\n    cluster::{self, Context},\n};");
    assert_eq!(
        edges_against_the_arrows(&source),
        [
            "src/domain/x.rs:3: domain must not name cluster::self",
            "src/domain/x.rs:3: domain must not name cluster::Context",
        ]
    );
}

#[test]
fn an_edge_by_super_is_seen_where_it_leaves_the_module() {
    let inside = Source::new("src/web/consent/page.rs", "use super::super::internal;");
    assert_eq!(edges_against_the_arrows(&inside), [] as [&str; 0]);
    let outside = Source::new("src/web/mod.rs", "fn f() { super::cluster::f() }");
    assert_eq!(edges_against_the_arrows(&outside), ["src/web/mod.rs:1: web must not name cluster::f"]);
}

#[test]
fn the_protocol_may_name_reasons_and_no_decision() {
    let allowed = Source::new("src/oauth/x.rs", "use crate::domain::reason::Reason;");
    assert_eq!(edges_against_the_arrows(&allowed), [] as [&str; 0]);
    let refused = Source::new("src/oauth/x.rs", "use crate::domain::connection::decide;");
    assert_eq!(edges_against_the_arrows(&refused).len(), 1);
}

#[test]
fn an_unknown_layer_is_a_breach() {
    let source = Source::new("src/helpers/x.rs", "");
    assert_eq!(
        edges_against_the_arrows(&source),
        ["src/helpers/x.rs:1: module helpers has no place among the layers"]
    );
}

#[test]
fn a_clock_a_client_or_a_wait_in_the_pure_ring_is_a_breach() {
    for text in [
        "use std::{time::{Duration, Instant}};",
        "use kube::{Client, ResourceExt};",
        "fn f() { let _ = jiff::Timestamp::now(); }",
        "use aws_lc_rs::rand;",
        "async fn f() {}",
        "fn f() { tracing::info!(\"x\"); }",
    ] {
        assert_eq!(impurities(&Source::new("src/domain/x.rs", text)).len(), 1, "{text}");
        assert_eq!(impurities(&Source::new("src/cluster/x.rs", text)).len(), 0, "{text}");
    }
    let harmless = "// tokio::spawn\nuse kube::KubeSchema;\n#[cfg(test)]\nmod tests { use std::fs::read; }";
    assert_eq!(impurities(&Source::new("src/api/x.rs", harmless)), [] as [&str; 0]);
}

#[test]
fn a_secret_opened_elsewhere_is_a_breach() {
    let text = "fn f(s: &S) { s.expose_secret(); }";
    assert_eq!(
        opened_secrets(&Source::new("src/cluster/x.rs", text)),
        ["src/cluster/x.rs:1: cluster must not open secrets"]
    );
    assert_eq!(opened_secrets(&Source::new("src/oauth/x.rs", text)), [] as [&str; 0]);
}

#[test]
fn length_counts_without_tests_and_a_useless_exception_is_a_breach() {
    let long = "\n".repeat(FILE_LIMIT + 1);
    assert_eq!(too_long(&Source::new("src/web/x.rs", &long), &[]).len(), 1);
    let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{{long}}}");
    assert_eq!(too_long(&Source::new("src/web/x.rs", &tests), &[]), [] as [&str; 0]);
    let function = format!("fn long() {{{}}}", "\n".repeat(FUNCTION_LIMIT));
    assert_eq!(
        too_long(&Source::new("src/web/x.rs", &function), &[]),
        ["src/web/x.rs:1: long has 61 lines, more than 60"]
    );
    assert_eq!(too_long(&Source::new("src/web/x.rs", ""), &[("src/web/x.rs", "a reason")]).len(), 1);
}
