//! TLS: certificates, and new ones while connections go on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::config::Tls;
use crate::state::Shared;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Largest file of certificates.
const MAX_FILE: u64 = 1 << 20;

/// The gateway's certificates: those of the files, or the last that were right.
#[derive(Debug)]
pub struct Certificates {
    files: Tls,
    current: ArcSwap<ServerConfig>,
    /// What `current` was made of.
    read: ArcSwap<Files>,
}

/// What stands in the files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with them, by key of the configuration.
    pub fn load(files: &Tls) -> Result<Self, String> {
        let read = Files::read(files)?;
        let current = ArcSwap::from_pointee(read.config(files)?);
        Ok(Self { files: files.clone(), current, read: ArcSwap::from_pointee(read) })
    }

    /// For the next connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Takes up new files as they come. Wrong ones change nothing, and are told once.
    pub async fn watch(self: Arc<Self>, gateway: Shared, stop: CancellationToken) {
        let mut told = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let outcome = self.look();
            let reloads = &gateway.meter.metrics.tls_reloads;
            match outcome {
                Ok(false) => told = None,
                Ok(true) => {
                    told = None;
                    reloads.with_label_values(&["ok"]).inc();
                    tracing::info!("server.tls: new certificates are in use");
                }
                Err(why) if told.as_ref() == Some(&why) => {}
                Err(why) => {
                    reloads.with_label_values(&["failed"]).inc();
                    tracing::error!("new certificates cannot be used, those from before are: {why}");
                    told = Some(why);
                }
            }
        }
    }

    /// Whether there are new certificates, which are then in use. Three files of some kilobytes: as quick as
    /// asking whether they changed, and right where they are swapped by links within one second.
    fn look(&self) -> Result<bool, String> {
        let read = Files::read(&self.files)?;
        if read == **self.read.load() {
            return Ok(false);
        }
        self.current.store(Arc::new(read.config(&self.files)?));
        self.read.store(Arc::new(read));
        Ok(true)
    }
}

impl Files {
    fn read(files: &Tls) -> Result<Self, String> {
        Ok(Self {
            cert: file("server.tls.cert", &files.cert)?,
            key: file("server.tls.key", &files.key)?,
            client_ca: files.client_ca.as_deref().map(|path| file("server.tls.client_ca", path)).transpose()?,
        })
    }

    fn config(&self, files: &Tls) -> Result<ServerConfig, String> {
        let cert = files.cert.display();
        let chain = certificates("server.tls.cert", &files.cert, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| format!("server.tls.key: {}: no private key in PEM form: {error}", files.key.display()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| format!("server.tls: {error}"))?;
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(pem), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for root in certificates("server.tls.client_ca", path, pem)? {
                    roots.add(root).map_err(|error| format!("server.tls.client_ca: {}: {error}", path.display()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| format!("server.tls.client_ca: {error}"))?)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!("server.tls.cert: {cert}: it does not go with the key in {}: {error}", files.key.display())
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn file(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let told = |error: std::io::Error| format!("{key}: cannot read {}: {error}", path.display());
    let mut text = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text)).map_err(told)?;
    if text.len() as u64 > MAX_FILE { Err(format!("{key}: {}: larger than 1 MiB", path.display())) } else { Ok(text) }
}

fn certificates(key: &str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("{key}: {}: not in PEM form: {error}", path.display()))?;
    if found.is_empty() { Err(format!("{key}: {}: no certificate in it", path.display())) } else { Ok(found) }
}
