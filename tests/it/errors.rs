//! Every word that a condition may say is explained.

use liaison::domain::reason::Reason;

use crate::repository::read;

#[test]
fn every_reason_is_documented() {
    let documentation = read("docs/reasons.md");
    for reason in Reason::ALL {
        assert!(documentation.contains(&format!("| `{reason}` |")), "{reason} is missing in docs/reasons.md");
    }
}

#[test]
fn troubleshooting_speaks_only_of_reasons_that_exist() {
    let headings = read("docs/troubleshooting.md");
    let named: Vec<_> =
        headings.lines().filter_map(|line| line.strip_prefix("## ")).flat_map(|l| l.split(", ")).collect();
    assert!(!named.is_empty());
    for name in named.into_iter().filter(|name| !name.contains(' ')) {
        assert!(name.parse::<Reason>().is_ok(), "{name}");
    }
}
