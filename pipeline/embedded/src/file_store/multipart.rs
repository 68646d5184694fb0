//! Uploads in parts, on disk so that they outlive the process: a folder an upload, with what was said at its start in
//! `upload.json`, a file a part, and beside each part, named after its identity, its tag and checksum.
//!
//! Completing copies the parts into one file, which file systems with shared extents do without moving bytes, unless a
//! checksum of the whole is wanted. A lock on `upload.json` keeps completing, giving up and sweeping apart; parts need none, since completing reads through one open
//! file what it has checked.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcsp_domain::ObjectKey;
use mcsp_domain::limits::{
    SOURCE_LEN_BYTES_MAX, UPLOAD_PART_BYTES_MAX, UPLOAD_PART_BYTES_MIN, UPLOAD_PARTS_MAX, UPLOADS_OPEN_MAX,
};
use mcsp_runtime::{Etag, Part, PartFault, PartTag, Put, PutIf, StoreError, UploadId};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::about::{self, About, Checksum, ChecksumAlgorithm, Details, Identity};
use super::spool::CreatedBy;
use super::unfinished::{Target, UNFINISHED, Unfinished};
use super::{Durability, Inner, io_error};

/// The folder of uploads in parts.
const UPLOADS: &str = ".uploads";
/// What was said when an upload began.
const UPLOAD: &str = "upload.json";
/// Bytes of a part that are hashed at a time.
const HASHED_BYTES: usize = 256 << 10;

/// What was said when an upload began.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) key: ObjectKey,
    pub(crate) begun_us: i64,
    pub(crate) details: Details,
    /// The checksum of the whole that is wanted when it is complete.
    #[serde(default)]
    pub(crate) whole: Option<ChecksumAlgorithm>,
}

/// What is known of a part beyond its file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AboutPart {
    pub(crate) etag: Etag,
    pub(crate) checksum: Option<Checksum>,
}

/// A part on disk.
pub(crate) struct StoredPart {
    pub(crate) part: Part,
    pub(crate) checksum: Option<Checksum>,
    identity: Identity,
}

/// What completes an upload.
pub(crate) struct Completion<'a> {
    pub(crate) key: &'a ObjectKey,
    pub(crate) upload: &'a UploadId,
    pub(crate) parts: &'a [PartTag],
    pub(crate) condition: &'a PutIf,
    /// What the whole must come to.
    pub(crate) claimed: Option<&'a Checksum>,
}

/// What became of completing.
pub(crate) enum Completed {
    /// The object is there.
    Stored {
        /// Its tag.
        etag: Etag,
        /// The checksum of the whole, where one was wanted.
        checksum: Option<Checksum>,
    },
    /// The condition did not hold.
    Kept,
    /// The whole has another checksum than was claimed, and stays in parts.
    Differs {
        /// Its checksum.
        found: Checksum,
    },
}

impl Inner {
    pub(crate) fn create_multipart(
        &self,
        key: &ObjectKey,
        details: Details,
        whole: Option<ChecksumAlgorithm>,
    ) -> Result<UploadId, StoreError> {
        let folder = self.root.join(UPLOADS);
        let failed = io_error("begin an upload in parts of", key);
        fs::create_dir_all(&folder).map_err(&failed)?;
        let open = fs::read_dir(&folder).map_err(&failed)?.count();
        if open >= UPLOADS_OPEN_MAX {
            let reason = format!("{open} uploads in parts are open");
            return Err(StoreError::Busy { action: "begin an upload of", key: key.clone(), reason });
        }
        let id = Uuid::now_v7().simple().to_string();
        let begun = Begun { key: key.clone(), begun_us: mcsp_runtime::now_us(), details, whole };
        self.write_begun(&folder.join(&id), &begun).map_err(&failed)?;
        let Ok(upload) = UploadId::parse(&id) else { unreachable!("hexadecimal digits make an upload id") };
        Ok(upload)
    }

    fn write_begun(&self, folder: &Path, begun: &Begun) -> std::io::Result<()> {
        // Made aside, so that no upload stands there without its `upload.json`.
        let aside = self.aside();
        fs::create_dir(&aside)?;
        let mut file = File::create_new(aside.join(UPLOAD))?;
        file.write_all(&serde_json::to_vec(begun)?)?;
        if self.durability == Durability::Object {
            file.sync_all()?;
            File::open(&aside)?.sync_all()?;
        }
        fs::rename(&aside, folder)?;
        self.sync_folder(&self.root.join(UPLOADS))
    }

    /// Makes a written file a part.
    pub(crate) fn finish_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: u32,
        unfinished: Unfinished,
        known: &AboutPart,
    ) -> Result<(), StoreError> {
        let (folder, _) = self.begun(key, upload)?;
        let done = self.move_part(&folder, number, unfinished, known);
        done.map_err(|error| match error.kind() {
            ErrorKind::NotFound => no_upload(key, upload),
            _ => io_error("store a part of", key)(error),
        })
    }

    fn move_part(&self, folder: &Path, number: u32, unfinished: Unfinished, known: &AboutPart) -> std::io::Result<()> {
        let identity = about::stamp(&unfinished.file)?;
        let path = folder.join(part_name(number));
        let replaced = fs::metadata(&path).ok().map(|meta| about_part_path(folder, number, Identity::of(&meta)));
        let mut about = File::create(about_part_path(folder, number, identity))?;
        about.write_all(&serde_json::to_vec(known)?)?;
        if self.durability == Durability::Object {
            unfinished.file.sync_all()?;
            about.sync_all()?;
        }
        unfinished.move_to(&path)?;
        if let Some(replaced) = replaced {
            // What stays behind goes with the upload.
            let _ = fs::remove_file(replaced);
        }
        self.sync_folder(folder)
    }

    /// Returns the parts that are there, by rising number.
    pub(crate) fn parts(&self, key: &ObjectKey, upload: &UploadId) -> Result<Vec<StoredPart>, StoreError> {
        let (folder, _) = self.begun(key, upload)?;
        let failed = io_error("list the parts of", key);
        let mut parts = Vec::new();
        for entry in fs::read_dir(&folder).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name();
            let number = name.to_str().filter(|name| name.len() == part_name(1).len());
            let Some(number) = number.and_then(|name| name.parse().ok()) else { continue };
            parts.extend(stored_part(&folder, number).map_err(&failed)?);
        }
        parts.sort_unstable_by_key(|part: &StoredPart| part.part.number);
        Ok(parts)
    }

    pub(crate) fn complete_multipart(&self, what: &Completion) -> Result<Completed, StoreError> {
        let failed = io_error("complete an upload of", what.key);
        let (folder, begun) = match self.begun(what.key, what.upload) {
            Err(StoreError::NoUpload { .. }) => return self.completed_before(what),
            begun => begun?,
        };
        // Given back when the file is closed.
        let Some(_lock) = lock_upload(&folder, true).map_err(&failed)? else { return self.completed_before(what) };
        if let Ok(completed) = self.completed_before(what) {
            // A process died between making the object visible and clearing up.
            self.remove_upload(&folder).map_err(&failed)?;
            return Ok(completed);
        }
        let parts = check_parts(&folder, what)?;
        if !self.condition_holds(what).map_err(&failed)? {
            self.sync_name(what.key).map_err(&failed)?;
            return Ok(Completed::Kept);
        }
        let wanted = what.claimed.map(|claimed| claimed.algorithm).or(begun.whole);
        let (whole, checksum) = self.join_parts(&folder, what, &parts, wanted)?;
        if let (Some(claimed), Some(found)) = (what.claimed, &checksum)
            && claimed != found
        {
            return Ok(Completed::Differs { found: found.clone() });
        }
        let about = About {
            key: what.key.clone(),
            etag: composite_etag(&parts),
            upload: Some(what.upload.clone()),
            details: begun.details,
            checksum: checksum.clone(),
            parts_len_bytes: parts.iter().map(|part| part.part.len_bytes).collect(),
        };
        let announce = Some(CreatedBy::CompleteMultipartUpload);
        let target = Target { key: what.key, condition: what.condition, about: Some(&about), announce };
        match self.install(whole, &target).map_err(&failed)? {
            Put::Stored { etag } => {
                self.remove_upload(&folder).map_err(&failed)?;
                Ok(Completed::Stored { etag, checksum })
            }
            Put::Kept => Ok(Completed::Kept),
        }
    }

    /// Looks before the parts are joined, which `install` would only do after it.
    fn condition_holds(&self, what: &Completion) -> std::io::Result<bool> {
        let current = self.current_etag(what.key)?;
        Ok(match what.condition {
            PutIf::Always => true,
            PutIf::Absent => current.is_none(),
            PutIf::Matches(wanted) => current.as_ref() == Some(wanted),
        })
    }

    /// Syncs the name of an object that is there: its writer may have died before it did.
    fn sync_name(&self, key: &ObjectKey) -> std::io::Result<()> {
        match self.path(key).parent() {
            Some(folder) if folder.is_dir() => self.sync_folder(folder),
            _ => Ok(()),
        }
    }

    /// The answer to completing again: the object is there, and this upload made it.
    fn completed_before(&self, what: &Completion) -> Result<Completed, StoreError> {
        let gone = || no_upload(what.key, what.upload);
        let meta = fs::metadata(self.path(what.key)).map_err(|_| gone())?;
        let about = about::read(&self.root, what.key, Identity::of(&meta));
        match about.map_err(io_error("look at", what.key))? {
            Some(about) if about.upload.as_ref() == Some(what.upload) => {
                self.sync_name(what.key).map_err(io_error("sync", what.key))?;
                Ok(Completed::Stored { etag: about.etag, checksum: about.checksum })
            }
            _ => Err(gone()),
        }
    }

    fn join_parts(
        &self,
        folder: &Path,
        what: &Completion,
        parts: &[StoredPart],
        wanted: Option<ChecksumAlgorithm>,
    ) -> Result<(Unfinished, Option<Checksum>), StoreError> {
        let failed = io_error("join the parts of", what.key);
        let whole = self.create_unfinished().map_err(&failed)?;
        let mut hasher = wanted.map(ChecksumAlgorithm::hasher);
        for part in parts {
            let number = part.part.number;
            let mut file = File::open(folder.join(part_name(number))).map_err(&failed)?;
            let meta = file.metadata().map_err(&failed)?;
            let copied = match &mut hasher {
                Some(hasher) => {
                    let mut hashed = Hashed { file: &whole.file, hasher };
                    std::io::copy(&mut BufReader::with_capacity(HASHED_BYTES, file), &mut hashed)
                }
                None => std::io::copy(&mut file, &mut &whole.file),
            };
            let copied_bytes = copied.map_err(&failed)?;
            // Replaced since it was checked: completed with a tag that is no longer true.
            if Identity::of(&meta) != part.identity || copied_bytes != part.part.len_bytes {
                return Err(bad_part(what.key, number, PartFault::Missing));
            }
        }
        let checksum = wanted.zip(hasher).map(|(algorithm, hasher)| algorithm.found(hasher));
        Ok((whole, checksum))
    }

    pub(crate) fn abort_multipart(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        let (folder, _) = self.begun(key, upload)?;
        let failed = io_error("give up an upload of", key);
        match lock_upload(&folder, true).map_err(&failed)? {
            Some(_lock) => self.remove_upload(&folder).map_err(&failed),
            None => Err(no_upload(key, upload)),
        }
    }

    /// Returns each open upload, by its beginning.
    pub(crate) fn uploads(&self) -> std::io::Result<Vec<(UploadId, Begun)>> {
        let entries = match fs::read_dir(self.root.join(UPLOADS)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut uploads = Vec::new();
        for entry in entries {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| UploadId::parse(name).ok());
            // One that was given up meanwhile is left out.
            let begun = fs::read(entry.path().join(UPLOAD)).ok().and_then(|text| serde_json::from_slice(&text).ok());
            uploads.extend(id.zip(begun));
        }
        uploads.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        Ok(uploads)
    }

    /// Gives up the uploads that nobody touched for so long, and returns how many that were.
    pub(crate) fn sweep_uploads(&self, older_than: Duration) -> std::io::Result<usize> {
        let mut swept = 0;
        for (id, _) in self.uploads()? {
            let folder = self.root.join(UPLOADS).join(id.as_str());
            // The folder's time is that of its youngest part.
            let touched = fs::metadata(&folder).and_then(|meta| meta.modified());
            let age = touched.map(|at| at.elapsed().unwrap_or_default());
            if age.is_ok_and(|age| age > older_than)
                && let Some(_lock) = lock_upload(&folder, false)?
            {
                self.remove_upload(&folder)?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// Finds an upload.
    pub(crate) fn begun(&self, key: &ObjectKey, upload: &UploadId) -> Result<(PathBuf, Begun), StoreError> {
        let ours = upload.as_str().len() == 32 && upload.as_str().bytes().all(|byte| byte.is_ascii_hexdigit());
        let folder = self.root.join(UPLOADS).join(upload.as_str());
        let begun = match fs::read(folder.join(UPLOAD)) {
            Ok(text) if ours => serde_json::from_slice::<Begun>(&text),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io_error("look at an upload of", key)(error));
            }
            _ => return Err(no_upload(key, upload)),
        };
        let begun = begun.map_err(|error| io_error("read an upload of", key)(error.into()))?;
        if begun.key != *key {
            return Err(no_upload(key, upload));
        }
        Ok((folder, begun))
    }

    fn remove_upload(&self, folder: &Path) -> std::io::Result<()> {
        // Moved away first, so that a part on its way finds no folder instead of half a one.
        let aside = self.aside();
        fs::rename(folder, &aside)?;
        self.sync_folder(&self.root.join(UPLOADS))?;
        fs::remove_dir_all(&aside)
    }

    fn aside(&self) -> PathBuf {
        self.root.join(UNFINISHED).join(format!("upload-{}", Uuid::now_v7().simple()))
    }

    fn sync_folder(&self, folder: &Path) -> std::io::Result<()> {
        if self.durability == Durability::Object {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

/// A file, and a hasher of what is written to it.
struct Hashed<'a> {
    file: &'a File,
    hasher: &'a mut ChecksumHasher,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written_bytes = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written_bytes).unwrap_or(bytes));
        Ok(written_bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Takes the lock of an upload; nothing where it is gone, or held by another and not to be waited for.
fn lock_upload(folder: &Path, wait: bool) -> std::io::Result<Option<File>> {
    let path = folder.join(UPLOAD);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if wait {
        file.lock()?;
    } else if file.try_lock().is_err() {
        return Ok(None);
    }
    // The holder before us may have removed it.
    Ok(path.exists().then_some(file))
}

fn check_parts(folder: &Path, what: &Completion) -> Result<Vec<StoredPart>, StoreError> {
    let mut parts: Vec<StoredPart> = Vec::new();
    if what.parts.is_empty() {
        return Err(bad_part(what.key, 1, PartFault::Missing));
    }
    let mut len_bytes: u64 = 0;
    for wanted in what.parts {
        check_number(what.key, wanted.number)?;
        if parts.last().is_some_and(|before| before.part.number >= wanted.number) {
            return Err(bad_part(what.key, wanted.number, PartFault::Order));
        }
        let stored = stored_part(folder, wanted.number).map_err(io_error("look at a part of", what.key))?;
        match stored.filter(|stored| stored.part.etag == wanted.etag) {
            Some(stored) => parts.push(stored),
            None => return Err(bad_part(what.key, wanted.number, PartFault::Missing)),
        }
    }
    for (index, stored) in parts.iter().enumerate() {
        len_bytes = len_bytes.saturating_add(stored.part.len_bytes);
        if index + 1 < parts.len() && stored.part.len_bytes < UPLOAD_PART_BYTES_MIN {
            return Err(bad_part(what.key, stored.part.number, PartFault::Small));
        }
        if len_bytes > SOURCE_LEN_BYTES_MAX {
            return Err(bad_part(what.key, stored.part.number, PartFault::Limit));
        }
    }
    Ok(parts)
}

/// Refuses part numbers and lengths beyond the limits.
pub(crate) fn check_part(key: &ObjectKey, number: u32, len_bytes: u64) -> Result<(), StoreError> {
    check_number(key, number)?;
    if len_bytes > UPLOAD_PART_BYTES_MAX {
        return Err(bad_part(key, number, PartFault::Limit));
    }
    Ok(())
}

fn check_number(key: &ObjectKey, number: u32) -> Result<(), StoreError> {
    if (1..=UPLOAD_PARTS_MAX).contains(&number) {
        return Ok(());
    }
    Err(bad_part(key, number, PartFault::Limit))
}

fn stored_part(folder: &Path, number: u32) -> std::io::Result<Option<StoredPart>> {
    // Once more where the part was replaced between the two looks.
    for _ in 0..3 {
        let identity = match fs::metadata(folder.join(part_name(number))) {
            Ok(meta) => Identity::of(&meta),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Ok(text) = fs::read(about_part_path(folder, number, identity)) else { continue };
        let AboutPart { etag, checksum } = serde_json::from_slice(&text)?;
        let (len_bytes, modified_us) = (identity.len_bytes, identity.modified_us());
        return Ok(Some(StoredPart { part: Part { number, etag, len_bytes, modified_us }, checksum, identity }));
    }
    Err(std::io::Error::new(ErrorKind::NotFound, format!("part {number} has no tag")))
}

/// S3's tag of an object made of parts: the MD5 of the parts' MD5s, and their count.
fn composite_etag(parts: &[StoredPart]) -> Etag {
    let mut md5 = Md5::new();
    for part in parts {
        let Ok(digest) = hex::decode(part.part.etag.as_str()) else { unreachable!("parts are tagged by their MD5") };
        md5.update(&digest);
    }
    let text = format!("{}-{}", hex::encode(md5.finalize()), parts.len());
    let Ok(etag) = Etag::parse(&text) else { unreachable!("hexadecimal digits and a dash make a tag") };
    etag
}

fn part_name(number: u32) -> String {
    format!("{number:05}")
}

fn about_part_path(folder: &Path, number: u32, identity: Identity) -> PathBuf {
    folder.join(format!("{}-{}", part_name(number), identity.etag()))
}

pub(crate) fn no_upload(key: &ObjectKey, upload: &UploadId) -> StoreError {
    StoreError::NoUpload { key: key.clone(), upload: upload.to_string() }
}

fn bad_part(key: &ObjectKey, number: u32, fault: PartFault) -> StoreError {
    StoreError::BadPart { key: key.clone(), number, fault }
}
