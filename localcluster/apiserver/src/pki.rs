//! The certificate authority of a cluster and the server certificate it signs.
//!
//! Only the authority is kept on disk: clients trust it by its certificate in their kubeconfig. The
//! server's own certificate is made anew at each start, for the addresses of that start.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::files::write_private;

const AUTHORITY_NAME: &str = "localcluster-ca";
const SERVER_NAMES: [&str; 4] = [
    "localhost",
    "kubernetes",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}; check its permissions")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A key or certificate cannot be made or read.
    #[error(
        "{what}: {source}; remove the directory of the certificate authority to make a new one"
    )]
    Certificate {
        /// What was being done.
        what: &'static str,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// TLS refuses the certificate.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    key: KeyPair,
    certificate_pem: String,
}

impl Authority {
    /// Makes an authority that is kept nowhere.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn generate() -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(certificate("cannot make the authority's key"))?;
        let certificate_pem = authority_params()
            .self_signed(&key)
            .map_err(certificate("cannot make the authority's certificate"))?
            .pem();
        Ok(Self {
            key,
            certificate_pem,
        })
    }

    /// Reads the authority from `ca.crt` and `ca.key` in `directory`, making both if there is no key.
    ///
    /// # Errors
    /// When a file cannot be read or written, or is damaged.
    pub fn open(directory: &Path) -> Result<Self, PkiError> {
        let (key_path, certificate_path) = (directory.join("ca.key"), directory.join("ca.crt"));
        if key_path.exists() && certificate_path.exists() {
            let key_pem = fs::read_to_string(&key_path).map_err(file(&key_path))?;
            let key = KeyPair::from_pem(&key_pem)
                .map_err(certificate("cannot read the authority's key"))?;
            let certificate_pem =
                fs::read_to_string(&certificate_path).map_err(file(&certificate_path))?;
            return Ok(Self {
                key,
                certificate_pem,
            });
        }
        let authority = Self::generate()?;
        fs::create_dir_all(directory).map_err(file(directory))?;
        fs::write(&certificate_path, &authority.certificate_pem)
            .map_err(file(&certificate_path))?;
        // The key comes last: its presence says that both are complete.
        write_private(&key_path, authority.key.serialize_pem().as_bytes())
            .map_err(file(&key_path))?;
        Ok(authority)
    }

    /// The authority's certificate, for clients to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A TLS configuration with a fresh certificate for `addresses`, `localhost` and the names by which
    /// pods know the API server. It offers HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn server_config(&self, addresses: &[IpAddr]) -> Result<Arc<ServerConfig>, PkiError> {
        let key = KeyPair::generate().map_err(certificate("cannot make the server's key"))?;
        let issuer = Issuer::new(authority_params(), &self.key);
        let chain = server_params(addresses)
            .and_then(|params| params.signed_by(&key, &issuer))
            .map_err(certificate("cannot make the server's certificate"))?;
        let chain = vec![CertificateDer::from(chain.der().to_vec())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Always the same, so that the authority can sign with nothing but its key.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(addresses: &[IpAddr]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
    params
        .subject_alt_names
        .extend(addresses.iter().copied().map(SanType::IpAddress));
    params.distinguished_name = common_name("localcluster-apiserver");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn certificate(what: &'static str) -> impl Fn(rcgen::Error) -> PkiError {
    move |source| PkiError::Certificate { what, source }
}

fn file(path: &Path) -> impl Fn(std::io::Error) -> PkiError + '_ {
    move |source| PkiError::File {
        path: path.to_owned(),
        source,
    }
}
