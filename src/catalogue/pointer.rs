//! JSON pointers (RFC 6901), checked once.

use serde_json::Value;

/// A JSON pointer whose syntax is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

/// The text is no JSON pointer (RFC 6901, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a JSON pointer (RFC 6901): it must start with \"/\", and \"~\" only occurs as ~0 or ~1")]
pub struct PointerFault;

impl Pointer {
    /// Checks a pointer. The empty pointer, which means the whole document, is refused.
    pub fn parse(text: &str) -> Result<Self, PointerFault> {
        let escapes_are_right = text
            .split('~')
            .skip(1)
            .all(|after_tilde| after_tilde.starts_with('0') || after_tilde.starts_with('1'));
        if text.starts_with('/') && escapes_are_right { Ok(Self(text.to_owned())) } else { Err(PointerFault) }
    }

    /// The value it points to, if the document has it.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        document.pointer(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("/a", true)]
    #[case("/a~1b/0/~0", true)]
    #[case("/", true)]
    #[case("", false)]
    #[case("a", false)]
    #[case("$.a", false)]
    #[case("/a~2", false)]
    #[case("/a~", false)]
    fn only_rfc_6901_pointers_are_accepted(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(Pointer::parse(text).is_ok(), accepted);
    }
}
