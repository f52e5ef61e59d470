//! An authority of our own, and leaves from it.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::ports::Leaf;

/// Certificates are valid from a while before they are made, for clocks that are behind.
const BACKDATED: Duration = Duration::from_hours(1);

/// An authority as it is stored, in a Secret. It holds its private key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Authority {
    /// When it was made.
    pub made: Timestamp,
    /// Its certificate in PEM.
    pub certificate: String,
    /// Its private key in PEM.
    key: String,
}

impl Authority {
    pub(super) fn make(purpose: &str, made: Timestamp, valid: Duration) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut parameters = parameters_of(purpose, made);
        (parameters.not_before, parameters.not_after) = validity(made, valid);
        let certificate = parameters.self_signed(&key)?.pem();
        Ok(Self { made, certificate, key: key.serialize_pem() })
    }

    /// A leaf for these DNS names and addresses.
    pub(super) fn issue(
        &self,
        purpose: &str,
        names: &[String],
        now: Timestamp,
        valid: Duration,
    ) -> Result<Leaf, rcgen::Error> {
        let issuer = Issuer::new(parameters_of(purpose, self.made), KeyPair::from_pem(&self.key)?);
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name.push(DnType::CommonName, format!("liaison {purpose}"));
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (parameters.not_before, parameters.not_after) = validity(now, valid);
        let certificate = parameters.signed_by(&key, &issuer)?.der().to_vec();
        Ok(Leaf { certificate, key: Zeroizing::new(key.serialize_der()) })
    }
}

/// The same for the authority's certificate and for what it signs. Each authority has a name of its own, so that
/// whoever checks a leaf finds the right one.
fn parameters_of(purpose: &str, made: Timestamp) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let name = format!("liaison {purpose} authority {}", made.as_millisecond());
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn validity(from: Timestamp, valid: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let at = |time: Timestamp| {
        OffsetDateTime::from_unix_timestamp(time.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    (
        at(from.saturating_sub(BACKDATED).unwrap_or(from)),
        at(from.saturating_add(valid).unwrap_or(Timestamp::MAX)),
    )
}
