//! What a client says of its bytes, checked while they stream past: `Content-MD5` and the `x-amz-checksum-` headers, also
//! where the value comes behind the body as a trailer.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::{S3Error, TrailingHeaders, s3_error};

use crate::file_store::about::{Checksum, ChecksumAlgorithm};

/// The checksums, in the order in which S3 lists them.
pub(super) const ALGORITHMS: [ChecksumAlgorithm; 5] = [
    ChecksumAlgorithm::Crc32,
    ChecksumAlgorithm::Crc32c,
    ChecksumAlgorithm::Crc64Nvme,
    ChecksumAlgorithm::Sha1,
    ChecksumAlgorithm::Sha256,
];

impl ChecksumAlgorithm {
    /// The header, or trailer, that holds the value.
    pub(super) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }
}

/// What the bytes must come to.
pub(super) struct Checks {
    md5: Option<[u8; 16]>,
    algorithm: Option<ChecksumAlgorithm>,
    value: Option<String>,
    trailer: Option<TrailingHeaders>,
}

impl Checks {
    /// No claims were made.
    pub(super) fn none() -> Self {
        Self { md5: None, algorithm: None, value: None, trailer: None }
    }

    /// Reads a call's claims.
    pub(super) fn of(headers: &HeaderMap, trailer: Option<TrailingHeaders>) -> Result<Self, S3Error> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let md5 = match text("content-md5") {
            Some(value) => {
                let digest = BASE64_STANDARD.decode(value).ok().and_then(|bytes| bytes.try_into().ok());
                Some(digest.ok_or_else(|| s3_error!(InvalidDigest, "Content-MD5 {value:?} is no MD5 in base64"))?)
            }
            None => None,
        };
        let announced = text("x-amz-trailer").unwrap_or_default().to_ascii_lowercase();
        let chosen = ALGORITHMS.into_iter().find(|algorithm| {
            text(algorithm.header()).is_some() || announced.split(',').any(|name| name.trim() == algorithm.header())
        });
        let value = chosen.and_then(|algorithm| text(algorithm.header())).map(str::to_owned);
        Ok(Self { md5, algorithm: chosen, value, trailer })
    }

    /// Begins to hash.
    pub(super) fn hashes(&self) -> Hashes {
        Hashes { md5: Md5::new(), more: self.algorithm.map(ChecksumAlgorithm::hasher) }
    }

    /// Compares, and returns the MD5 and the checksum that was asked for.
    pub(super) fn verify(&self, hashes: Hashes) -> Result<([u8; 16], Option<Checksum>), S3Error> {
        let md5 = hashes.md5.finalize();
        if self.md5.is_some_and(|claimed| claimed != md5) {
            return Err(s3_error!(BadDigest, "the bytes are not those of Content-MD5"));
        }
        let Some((algorithm, hasher)) = self.algorithm.zip(hashes.more) else { return Ok((md5, None)) };
        let (name, found) = (algorithm.header(), algorithm.found(hasher));
        let in_trailer = || {
            let trailer = self.trailer.as_ref()?;
            trailer.read(|headers| headers.get(name)?.to_str().ok().map(str::to_owned))?
        };
        match self.value.clone().or_else(in_trailer) {
            Some(claimed) if claimed == found.value => Ok((md5, Some(found))),
            Some(claimed) => Err(s3_error!(BadDigest, "{name} is {}, the call says {claimed}", found.value)),
            None => Err(s3_error!(InvalidRequest, "trailer {name} was announced and did not come")),
        }
    }
}

/// Hashes at work.
pub(super) struct Hashes {
    md5: Md5,
    more: Option<ChecksumHasher>,
}

impl Hashes {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some(more) = &mut self.more {
            more.update(bytes);
        }
    }
}
