//! What tells one file under a key from the next, and what clients said of it.
//!
//! A store's own puts must stay cheap, so their tag follows from the file itself: the nanosecond at which it was finished,
//! set by us, and its length. Neither copies nor restored backups that keep times change it. Objects that clients put
//! through the S3 endpoint carry the tags that S3 would give (MD5, or MD5 of the parts' MD5s), content types and checksums;
//! these lie beside, in a file whose name holds the object's own identity, so that they belong to exactly these bytes and
//! can be written before the object is visible.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcsp_domain::{Digest, ObjectKey};
use mcsp_runtime::{Etag, UploadId};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use serde::{Deserialize, Serialize};

/// The folder of what clients said of their objects.
const ABOUT: &str = ".about";

/// The age from which a file about an object that is gone is swept: far above the time that an object takes to be synced.
const ABOUT_AGE_MIN: Duration = Duration::from_secs(3600);

/// One finished file: no second one under its key shares the nanosecond and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    modified_ns: u64,
    pub(crate) len_bytes: u64,
}

impl Identity {
    pub(crate) fn of(meta: &Metadata) -> Self {
        let since_1970 = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        // Nanoseconds overflow 64 bits in the year 2554.
        let modified_ns = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        Self { modified_ns, len_bytes: meta.len() }
    }

    pub(crate) fn modified_us(self) -> i64 {
        i64::try_from(self.modified_ns / 1000).unwrap_or(i64::MAX)
    }

    /// The tag of a file that has no other. Its dash keeps S3 clients from taking it for an MD5.
    pub(crate) fn etag(self) -> Etag {
        let Ok(etag) = Etag::parse(&self.name()) else { unreachable!("hexadecimal digits and a dash make a tag") };
        etag
    }

    fn name(self) -> String {
        format!("{:x}-{:x}", self.modified_ns, self.len_bytes)
    }
}

/// Gives a finished file its moment, finer than the ticks of a few milliseconds that the kernel stamps with: without it, two
/// files of one length could share an identity. Wants a file system that keeps nanoseconds, as all usual ones do.
pub(crate) fn stamp(file: &File) -> std::io::Result<Identity> {
    file.set_modified(SystemTime::now())?;
    Ok(Identity::of(&file.metadata()?))
}

/// What a client said of an object, and what the endpoint learned when it took the bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) key: ObjectKey,
    pub(crate) etag: Etag,
    /// The upload in parts that made the object, so that completing it again is known.
    pub(crate) upload: Option<UploadId>,
    pub(crate) details: Details,
    pub(crate) checksum: Option<Checksum>,
    /// The lengths of its parts, in order.
    pub(crate) parts_len_bytes: Vec<u64>,
}

/// Headers that come back with the object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) content_type: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    /// `x-amz-meta-` headers, without the prefix.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A checksum that was checked against the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: ChecksumAlgorithm,
    /// In base64, as S3's headers have it.
    pub(crate) value: String,
}

/// The checksums of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChecksumAlgorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl ChecksumAlgorithm {
    /// Begins to hash.
    pub(crate) fn hasher(self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        match self {
            Self::Crc32 => hasher.crc32 = Some(Crc32::new()),
            Self::Crc32c => hasher.crc32c = Some(Crc32c::new()),
            Self::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
            Self::Sha1 => hasher.sha1 = Some(Sha1::new()),
            Self::Sha256 => hasher.sha256 = Some(Sha256::new()),
        }
        hasher
    }

    /// Returns what a hasher of this algorithm came to.
    pub(crate) fn found(self, hasher: ChecksumHasher) -> Checksum {
        let found = hasher.finalize();
        let value = match self {
            Self::Crc32 => found.checksum_crc32,
            Self::Crc32c => found.checksum_crc32c,
            Self::Crc64Nvme => found.checksum_crc64nvme,
            Self::Sha1 => found.checksum_sha1,
            Self::Sha256 => found.checksum_sha256,
        };
        let Some(value) = value else { unreachable!("the hasher was made for this algorithm") };
        Checksum { algorithm: self, value }
    }
}

/// Returns the tag of the object that has this identity.
pub(crate) fn etag_of(root: &Path, key: &ObjectKey, identity: Identity) -> std::io::Result<Etag> {
    Ok(read(root, key, identity)?.map_or_else(|| identity.etag(), |about| about.etag))
}

/// Returns what is known of the object that has this identity, or nothing where it is one of our own.
pub(crate) fn read(root: &Path, key: &ObjectKey, identity: Identity) -> std::io::Result<Option<About>> {
    match fs::read(path(root, key, identity)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Notes what is known of an object that is about to become visible.
pub(crate) fn write(root: &Path, identity: Identity, about: &About, sync: bool) -> std::io::Result<PathBuf> {
    let path = path(root, &about.key, identity);
    let folder = root.join(ABOUT);
    if !folder.is_dir() {
        fs::create_dir_all(&folder)?;
        if sync {
            File::open(root)?.sync_all()?;
        }
    }
    let mut file = File::create(&path)?;
    file.write_all(&serde_json::to_vec(about)?)?;
    if sync {
        file.sync_all()?;
        File::open(&folder)?.sync_all()?;
    }
    Ok(path)
}

/// Removes what is known of objects that are gone, and returns how many files that were.
pub(crate) fn sweep(root: &Path) -> std::io::Result<usize> {
    let entries = match fs::read_dir(root.join(ABOUT)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut swept = 0;
    for entry in entries {
        let found = entry?.path();
        let age = fs::metadata(&found).and_then(|meta| meta.modified()).map(|at| at.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > ABOUT_AGE_MIN) && !is_current(root, &found) {
            fs::remove_file(&found)?;
            swept += 1;
        }
    }
    Ok(swept)
}

fn is_current(root: &Path, found: &Path) -> bool {
    let Ok(text) = fs::read(found) else { return true };
    // A torn file belongs to an object that never became visible.
    let Ok(about) = serde_json::from_slice::<About>(&text) else { return false };
    fs::metadata(root.join(about.key.as_str())).is_ok_and(|meta| path(root, &about.key, Identity::of(&meta)) == found)
}

fn path(root: &Path, key: &ObjectKey, identity: Identity) -> PathBuf {
    let digest = Digest::of(&[key.as_str().as_bytes()]);
    root.join(ABOUT).join(format!("{digest}-{}", identity.name()))
}
