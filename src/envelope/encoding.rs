//! One unambiguous way to join fields into the bytes that a cipher or a MAC covers.

/// Joins fields, each with its length before it, so that no two different lists of fields give the same bytes.
#[derive(Default)]
pub(super) struct Fields(Vec<u8>);

impl Fields {
    /// Starts with a label that names the use, so that bytes made for one use never pass in another.
    pub(super) fn new(label: &str) -> Self {
        Self::default().with(label.as_bytes())
    }

    /// Adds one field.
    pub(super) fn with(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&(field.len() as u64).to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }
}

impl AsRef<[u8]> for Fields {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
