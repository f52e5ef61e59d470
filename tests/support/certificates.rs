//! Keys and certificates of one control plane, made afresh for each run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Names under which the API server is reached; the last one is that of its Service, by which Pods know it.
const SERVER_NAMES: [&str; 5] =
    ["localhost", "127.0.0.1", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1"];

/// Files in the run directory.
pub struct Certificates {
    /// The authority that clients trust.
    pub authority: PathBuf,
    pub server_certificate: PathBuf,
    pub server_key: PathBuf,
    /// Signs service account tokens.
    pub service_account_key: PathBuf,
    /// Checks them.
    pub service_account_public_key: PathBuf,
    pub authority_pem: String,
}

impl Certificates {
    pub fn write(directory: &Path) -> Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "control plane of one test run");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let server_key = KeyPair::generate()?;
        let mut server = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_pem = server.signed_by(&server_key, &issuer)?.pem();

        let service_account_key = KeyPair::generate()?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let path = directory.join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Self {
            authority: write("authority.crt", &authority_pem)?,
            server_certificate: write("server.crt", &server_pem)?,
            server_key: write("server.key", &server_key.serialize_pem())?,
            service_account_key: write("service-account.key", &service_account_key.serialize_pem())?,
            service_account_public_key: write("service-account.pub", &service_account_key.public_key_pem())?,
            authority_pem,
        })
    }
}
