//! How a Connection is called.

use super::visible::Visible;

/// What a person recognises a Connection by.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionNames<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its display name, where it has one.
    pub display_name: Option<&'a str>,
}

/// The same, as pages show it.
pub(super) struct ShownNames {
    pub(super) namespace: Visible,
    pub(super) name: Visible,
    /// The display name, else the name.
    pub(super) called: Visible,
    pub(super) has_display_name: bool,
}

impl ConnectionNames<'_> {
    pub(super) fn shown(&self) -> ShownNames {
        let display_name = self.display_name.filter(|text| !text.trim().is_empty());
        ShownNames {
            namespace: Visible::of(self.namespace),
            name: Visible::of(self.name),
            called: Visible::of(display_name.unwrap_or(self.name)),
            has_display_name: display_name.is_some(),
        }
    }
}

/// Whether an object can have this name in a namespace of this name.
pub fn is_name_in_namespace(namespace: &str, name: &str) -> bool {
    is_object_name(namespace) && !namespace.contains('.') && is_object_name(name)
}

/// Whether a Connection or, without a dot, a namespace can have this name. Such a name is harmless on a command line.
fn is_object_name(name: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.iter().all(|byte| is_end(*byte) || matches!(byte, b'-' | b'.'))
        && bytes.first().is_some_and(|byte| is_end(*byte))
        && bytes.last().is_some_and(|byte| is_end(*byte))
}
