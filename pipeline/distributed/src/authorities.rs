//! Reads the PEM files of `Tls`, and checks them before a client meets them: some clients end the process over a bad file.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Why a file of TLS does not serve.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// It cannot be read.
    #[error("TLS file {} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It holds no certificate that could be believed.
    #[error("TLS file {} holds no valid certificates: {problem}", .path.display())]
    NoAuthorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// Returns a file's bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    std::fs::read(path).map_err(|source| TlsFileError::Unreadable { path: path.to_owned(), source })
}

/// Returns the bytes of a file whose certificates can all be believed.
pub(crate) fn read_authorities(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let bytes = read(path)?;
    let refuse = |problem: String| TlsFileError::NoAuthorities { path: path.to_owned(), problem };
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        authorities.add(certificate).map_err(|error| refuse(error.to_string()))?;
    }
    if authorities.is_empty() {
        return Err(refuse("it names none".to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(matches!(read_authorities(&path), Err(TlsFileError::Unreadable { .. })));
        let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no certificate", torn] {
            std::fs::write(&path, text).unwrap();
            let error = read_authorities(&path).unwrap_err();
            assert!(matches!(error, TlsFileError::NoAuthorities { .. }), "{text:?}: {error}");
        }
    }
}
