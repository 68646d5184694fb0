//! Object keys: the storage map is this file. Every layout in the store is a constructor here.

use serde::{Deserialize, Serialize};

use crate::{ContentId, Digest, PlanId, ReferenceId, RenditionName, Revision, SessionId};

/// The longest key S3 takes, in bytes.
const OBJECT_KEY_BYTES_MAX: usize = 1024;

/// A validated name of an object: parts of `a-z A-Z 0-9 . _ -` between slashes, none empty, none beginning with a dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

crate::schema::text_schema!(ObjectKey, "ObjectKey", "object-key");

/// Why text is no object key.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("object key {text:?} is not a path of letters, digits, '.', '_' and '-' without empty or dotted parts")]
pub struct ObjectKeyError {
    text: String,
}

impl ObjectKey {
    /// Checks and wraps a key.
    ///
    /// # Errors
    /// When a part is empty, begins with a dot or holds another character, or the whole is too long.
    pub fn parse(text: &str) -> Result<Self, ObjectKeyError> {
        let part_fits = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
        };
        if text.len() <= OBJECT_KEY_BYTES_MAX && text.split('/').all(part_fits) {
            return Ok(Self(text.to_owned()));
        }
        Err(ObjectKeyError { text: text.chars().take(100).collect() })
    }

    /// The source that one upload brought, in its placement's bucket.
    pub fn upload(content: ContentId, session: SessionId) -> Self {
        Self(format!("uploads/{content}/{session}"))
    }

    /// The folder of one plan's clear chunks, reports and `plan.json`, in its placement's bucket; never served.
    pub fn work(content: ContentId, revision: Revision, plan: PlanId) -> Self {
        Self(format!("work/{content}/{revision}/{plan}"))
    }

    /// The folder of one plan's segments and manifests, in its placement's bucket.
    pub fn package(content: ContentId, revision: Revision, plan: PlanId) -> Self {
        Self(format!("media/{content}/{revision}/{plan}"))
    }

    /// The object that says that a revision's work is to stop.
    pub fn cancel_mark(content: ContentId, revision: Revision) -> Self {
        Self(format!("work/{content}/{revision}/cancelled"))
    }

    /// The fingerprint of a revision's source, in its placement's bucket: later additions to the library are compared with it.
    pub fn fingerprint(content: ContentId, revision: Revision) -> Self {
        Self(format!("work/{content}/{revision}/fingerprint.bin"))
    }

    /// The object that names the library's present index, in the default bucket; the one library object that changes.
    pub fn library_pointer() -> Self {
        Self("library/current.json".to_owned())
    }

    /// One immutable index of the library, named by the hexadecimal SHA-256 of its bytes.
    pub fn library_index(digest: &Digest) -> Self {
        Self(format!("library/index-{digest}.bin"))
    }

    /// One reference's fingerprint, of which indexes are built.
    pub fn library_reference(reference: ReferenceId) -> Self {
        Self(format!("library/references/{reference}.bin"))
    }

    /// A short-lived object by which one process sees whether a bucket takes writes.
    ///
    /// # Errors
    /// When the process's name is no part of a key.
    pub fn probe(process: &str) -> Result<Self, ObjectKeyError> {
        Self::parse(&format!("probes/{process}"))
    }

    /// The key of `inner` in the folder that this key names.
    ///
    /// # Errors
    /// When the two together are too long.
    pub fn join(&self, inner: &Self) -> Result<Self, ObjectKeyError> {
        Self::parse(&format!("{self}/{inner}"))
    }

    /// The key as seen from inside `folder`, or nothing where it lies elsewhere.
    pub fn inside(&self, folder: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(folder.as_str())?.strip_prefix('/')?;
        Some(Self(rest.to_owned()))
    }

    /// The plan of a run.
    pub fn plan() -> Self {
        Self("plan.json".to_owned())
    }

    /// One rendition's clear CMAF chunk.
    pub fn chunk(rendition: &RenditionName, chunk_index: u32) -> Self {
        Self(format!("chunks/{rendition}/{chunk_index:05}.mp4"))
    }

    /// What the transcoder noted about one finished chunk of all renditions.
    pub fn chunk_report(chunk_index: u32) -> Self {
        Self(format!("chunks/report-{chunk_index:05}.json"))
    }

    /// A packaged rendition's initialisation segment.
    pub fn init_segment(rendition: &RenditionName) -> Self {
        Self(format!("{rendition}/init.mp4"))
    }

    /// A packaged rendition's media segment; `number` starts at 1, as `$Number$` does.
    pub fn media_segment(rendition: &RenditionName, number: u32) -> Self {
        Self(format!("{rendition}/{number:05}.m4s"))
    }

    /// A packaged rendition's HLS media playlist.
    pub fn media_playlist(rendition: &RenditionName) -> Self {
        Self(format!("{rendition}/media.m3u8"))
    }

    /// The HLS multivariant playlist.
    pub fn multivariant_playlist() -> Self {
        Self("master.m3u8".to_owned())
    }

    /// The DASH media presentation description.
    pub fn mpd() -> Self {
        Self("manifest.mpd".to_owned())
    }

    /// A package's still picture, JPEG.
    pub fn poster() -> Self {
        Self("poster.jpg".to_owned())
    }

    /// A package's storyboard: which tile of which sheet shows which span, WebVTT.
    pub fn storyboard() -> Self {
        Self("storyboard.vtt".to_owned())
    }

    /// One sheet of a storyboard's tiles, JPEG; `index` starts at 0.
    pub fn storyboard_sheet(index: u32) -> Self {
        Self(format!("storyboard-{index:03}.jpg"))
    }

    /// What a package holds; stored last, so that a package with it is complete.
    pub fn package_report() -> Self {
        Self("package.json".to_owned())
    }

    /// The report of a run.
    pub fn report() -> Self {
        Self("report.json".to_owned())
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = ObjectKeyError;

    fn try_from(text: String) -> Result<Self, ObjectKeyError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_paths_that_leave_the_store() {
        for text in ["", "/a", "a//b", "../a", "a/../b", "a/.b", "a\\b", "a\0", "a/"] {
            assert!(ObjectKey::parse(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(ObjectKey::parse("a/b-c_d.0/E").unwrap().as_str(), "a/b-c_d.0/E");
    }

    #[test]
    fn constructors_make_valid_keys() {
        let name = RenditionName::parse("video-1080p").unwrap();
        for key in [ObjectKey::chunk(&name, 3), ObjectKey::media_segment(&name, 12), ObjectKey::mpd()] {
            assert_eq!(ObjectKey::parse(key.as_str()).unwrap(), key);
        }
    }
}
