//! Whom we trust: the system's certificate authorities, and those of the operator's own file.

use std::{path::Path, sync::Arc};

use darkroom_jobs::ErrorCode as Code;
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tracing::warn;

use super::{
    error::Error,
    vet::{Host, Target},
};

/// Speaks TLS as a client. Clones share what they trust.
#[derive(Clone)]
pub struct Tls(TlsConnector);

/// A file of certificate authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It is not PEM, or cannot be read.
    #[error("DARKROOM_FETCH_CA_BUNDLE: {0}")]
    Bundle(String),
}

impl Tls {
    /// Trusts the system's authorities, and those in the `bundle`.
    ///
    /// # Errors
    ///
    /// When the bundle has no certificate that can be used. A system without any is no error: then `https` fails.
    pub fn new(bundle: Option<&Path>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        let (trusted, _) = roots.add_parsable_certificates(system.certs);
        for certificate in bundle.map(certificates).transpose()?.unwrap_or_default() {
            roots.add(certificate).map_err(|error| TrustError::Bundle(error.to_string()))?;
        }
        if roots.is_empty() {
            warn!(trusted, "no certificate authorities found: https urls will fail as tls_failed");
        }
        let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring knows them")
            .with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config).into()))
    }

    /// Verifies that the other side is the host that was asked for.
    ///
    /// # Errors
    ///
    /// `tls_failed`.
    pub(super) async fn verified(
        &self,
        socket: TcpStream,
        target: &Target,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let name = match &target.host {
            Host::Name(name) => ServerName::try_from(name.clone()),
            Host::Address(address) => Ok(ServerName::from(*address)),
        };
        let name = name.map_err(|_| Error::new(Code::TlsFailed, "no certificate can be for such a name"))?;
        self.0.connect(name, socket).await.map_err(|error| Error::new(Code::TlsFailed, reason(&error)))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

fn certificates(bundle: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let wrong = |error: rustls::pki_types::pem::Error| TrustError::Bundle(error.to_string());
    let found = CertificateDer::pem_file_iter(bundle).map_err(wrong)?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if found.is_empty() { Err(TrustError::Bundle("there is no certificate in it".into())) } else { Ok(found) }
}

/// In words of ours: the library's tell whom else a certificate is for.
fn reason(error: &std::io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(wrong)) => match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the certificate is expired"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another host"
            }
            CertificateError::UnknownIssuer => "the certificate is signed by nobody who is trusted",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the certificate is not valid yet"
            }
            _ => "the certificate cannot be used",
        },
        Some(_) => "the server speaks no tls that we do",
        None => "the connection ended while tls was set up",
    }
}
