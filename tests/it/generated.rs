//! What is made from the code says what the code says.

use liaison::runtime::generate;

use crate::repository::root;

#[test]
fn generated_files_are_current() {
    let stale = generate::stale(root()).unwrap();
    assert!(stale.is_empty(), "run `make generate`; not current: {stale:?}");
}
