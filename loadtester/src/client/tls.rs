//! TLS settings: certificates are checked against a file of authorities, or not at all, as in hey.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// The settings for one run; `http2` offers HTTP/2 before HTTP/1.1.
///
/// # Errors
/// The file of authorities cannot be used.
pub(crate) fn settings(ca_file: Option<&Path>, http2: bool) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let listed = ca_file.map(|file| Listed::new(file, Arc::clone(&provider)));
    let verifier = Verifier {
        provider: Arc::clone(&provider),
        listed: listed.transpose()?,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = if http2 {
        vec![b"h2".to_vec()]
    } else {
        Vec::new()
    };
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Arc::new(config))
}

/// Accepts certificates that an authority in a file has signed, and the certificates in that file themselves. A self-signed
/// certificate is mostly marked as an authority, and rustls accepts such a certificate from no server.
#[derive(Debug)]
struct Listed {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Listed {
    fn new(file: &Path, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let name = file.display();
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| format!("cannot read certificates from {name}: {error}"))?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("{name}: {error}"))?;
        }
        if roots.is_empty() {
            return Err(format!("{name} contains no certificate"));
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .map_err(|error| format!("{name}: {error}"))?;
        Ok(Self {
            authorities,
            certificates,
        })
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{Other, UnknownIssuer};
        let verifier = &self.authorities;
        match verifier.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // webpki refuses the chain, for example because the server presents an authority's certificate.
            Err(rustls::Error::InvalidCertificate(Other(_)))
                if self.certificates.contains(certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            Err(rustls::Error::InvalidCertificate(Other(_))) => {
                Err(rustls::Error::InvalidCertificate(UnknownIssuer))
            }
            other => other,
        }
    }
}

/// Checks certificates against a list, or accepts every one: a load test measures how fast a server responds, not who it is.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    listed: Option<Listed>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.listed {
            Some(listed) => listed.check(certificate, intermediates, name, ocsp, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
