//! The one place where a secret leaves its envelope for a Secret of Kubernetes that a process reads.

use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};

/// A value as it stands in a Secret.
pub fn secret_value(secret: &SecretString) -> ByteString {
    ByteString(secret.expose_secret().as_bytes().to_vec())
}
