//! What the routes of uploads take and give, as JSON.

use std::collections::BTreeMap;

use mcsp_domain::{ContentId, SessionId, SubscriptionTier, Visibility};
use mcsp_runtime::Presigned;
use mcsp_services::upload::{ADDRESSES_MAX, PartAddress, UploadDone, UploadState, UploadStatus, UploadTicket};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// A file that will be uploaded, and what its content is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSession {
    /// The file's name.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028\\u2029]+$")]
    pub(super) file_name: String,
    /// The file's bytes.
    #[schema(minimum = 1, maximum = 1_099_511_627_776_u64)]
    pub(super) size_bytes: u64,
    /// The SHA-256 of the whole file, hexadecimal.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) sha256: Option<String>,
    /// The title; without one, the file's name.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028\\u2029]+$")]
    pub(super) title: Option<String>,
    /// What is said of it.
    #[schema(max_length = 5000, pattern = "^[^\\u0000-\\u0008\\u000B\\u000C\\u000E-\\u001F\\u007F-\\u009F]*$")]
    pub(super) description: Option<String>,
    /// Who may see it once it is published.
    #[serde(default = "private")]
    #[schema(schema_with = visibility, required = false)]
    pub(super) visibility: Visibility,
    /// What its viewers must pay for.
    #[serde(default = "free")]
    #[schema(schema_with = schema::tier, required = false)]
    pub(super) tier: SubscriptionTier,
    /// The region in which the bytes are to live; the platform's policy chooses where nothing is asked for.
    #[schema(pattern = "^[a-z0-9-]{1,32}$")]
    pub(super) region: Option<String>,
    /// Where the owner is at home, ISO 3166-1 alpha-2, for the platform's policy.
    #[schema(pattern = "^[A-Z]{2}$")]
    pub(super) country: Option<String>,
    /// How many addresses of parts the answer lists.
    #[serde(default = "addresses_max")]
    #[schema(maximum = 100, required = false)]
    pub(super) parts_max: usize,
}

/// Another file for a content.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSource {
    /// The file's name.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028\\u2029]+$")]
    pub(super) file_name: String,
    /// The file's bytes.
    #[schema(minimum = 1, maximum = 1_099_511_627_776_u64)]
    pub(super) size_bytes: u64,
    /// The SHA-256 of the whole file, hexadecimal.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) sha256: Option<String>,
    /// How many addresses of parts the answer lists.
    #[serde(default = "addresses_max")]
    #[schema(maximum = 100, required = false)]
    pub(super) parts_max: usize,
}

/// Parts that are to be signed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PartsRequest {
    /// The parts.
    #[schema(min_items = 1, max_items = 100)]
    pub(super) parts: Vec<PartRequest>,
}

/// A part that is to be signed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PartRequest {
    /// Its number.
    #[schema(minimum = 1, maximum = 10_000)]
    pub(super) number: u32,
    /// The SHA-256 of the part, hexadecimal: the store then refuses other bytes.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) sha256: Option<String>,
}

/// What completes an upload.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CompleteRequest {
    /// Parts by the tags that the store gave; those named must be the ones that are stored.
    #[serde(default)]
    #[schema(max_items = 500, required = false)]
    pub(super) parts: Vec<NamedPart>,
}

/// A part as its uploader knows it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedPart {
    /// Its number.
    #[schema(minimum = 1, maximum = 10_000)]
    pub(super) number: u32,
    /// The `ETag` that the store answered, with or without its quotes.
    #[schema(pattern = "^\"?[!#-~]{1,128}\"?$")]
    pub(super) etag: String,
}

/// An open upload.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// The session.
    #[schema(schema_with = schema::id)]
    pub(super) session_id: SessionId,
    /// The content.
    #[schema(schema_with = schema::id)]
    pub(super) content_id: ContentId,
    /// Takes the whole file by one PUT with `headers`; null above 5 GiB, where the parts are the way.
    #[schema(format = "uri")]
    pub(super) presigned_url: Option<String>,
    /// What the PUT must carry as it stands; browsers send `content-length` by themselves.
    pub(super) headers: BTreeMap<String, String>,
    /// When the session expires.
    #[schema(schema_with = schema::time_us)]
    pub(super) expires_us: i64,
    /// Bytes of each part but the last.
    pub(super) part_bytes: u64,
    /// How many parts the file has.
    pub(super) part_count: u32,
    /// The first parts, to be put in any order; more are signed by `POST …/parts`. A file of one part has its PUT here.
    pub(super) parts: Vec<PartAnswer>,
}

/// Where a part goes.
#[derive(Serialize, ToSchema)]
pub(super) struct PartAnswer {
    /// Its number.
    pub(super) number: u32,
    /// Where it is to be sent.
    #[schema(format = "uri")]
    pub(super) url: String,
    /// The method of the call.
    pub(super) method: &'static str,
    /// What the call must carry as it stands; browsers send `content-length` by themselves.
    pub(super) headers: BTreeMap<String, String>,
    /// Where it begins in the file.
    pub(super) offset_bytes: u64,
    /// Its bytes.
    pub(super) size_bytes: u64,
    /// When the address expires; it can be signed again.
    #[schema(schema_with = schema::time_us)]
    pub(super) expires_us: i64,
}

/// Signed parts.
#[derive(Serialize, ToSchema)]
pub(super) struct PartsAnswer {
    /// The parts, in the order that was asked for.
    pub(super) parts: Vec<PartAnswer>,
}

/// How far an upload is.
#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// The session.
    #[schema(schema_with = schema::id)]
    pub(super) session_id: SessionId,
    /// The content.
    #[schema(schema_with = schema::id)]
    pub(super) content_id: ContentId,
    /// How far it is.
    #[schema(schema_with = session_state)]
    pub(super) state: &'static str,
    /// The file's name.
    pub(super) file_name: String,
    /// The SHA-256 that was announced.
    pub(super) sha256: Option<String>,
    /// Bytes of the file.
    pub(super) size_bytes: u64,
    /// Bytes of each part but the last.
    pub(super) part_bytes: u64,
    /// How many parts the file has.
    pub(super) part_count: u32,
    /// Bytes that are stored.
    pub(super) bytes: u64,
    /// The parts that are stored, as the store has them.
    pub(super) parts: Vec<StoredPart>,
    /// The numbers of the parts that are missing, rising.
    pub(super) missing: Vec<u32>,
    /// When the session expires.
    #[schema(schema_with = schema::time_us)]
    pub(super) expires_us: i64,
}

/// A part that is stored.
#[derive(Serialize, ToSchema)]
pub(super) struct StoredPart {
    /// Its number.
    pub(super) number: u32,
    /// Its tag.
    pub(super) etag: String,
    /// Its bytes.
    pub(super) size_bytes: u64,
}

/// A completed upload.
#[derive(Serialize, ToSchema)]
pub(super) struct Completed {
    /// The session.
    #[schema(schema_with = schema::id)]
    pub(super) session_id: SessionId,
    /// The content.
    #[schema(schema_with = schema::id)]
    pub(super) content_id: ContentId,
    /// Which publication of the content this is the source of.
    pub(super) revision: u32,
    /// The tag of what is stored.
    pub(super) etag: String,
    /// Its bytes.
    pub(super) size_bytes: u64,
}

impl From<UploadTicket> for Session {
    fn from(ticket: UploadTicket) -> Self {
        let (presigned_url, headers) = ticket.put.map_or((None, BTreeMap::new()), |put| {
            let Presigned { url, headers, .. } = put;
            (Some(url), headers.into_iter().collect())
        });
        Self {
            session_id: ticket.session,
            content_id: ticket.content,
            presigned_url,
            headers,
            expires_us: ticket.expires_us,
            part_bytes: ticket.layout.part_bytes,
            part_count: ticket.layout.count,
            parts: ticket.parts.into_iter().map(PartAnswer::from).collect(),
        }
    }
}

impl From<PartAddress> for PartAnswer {
    fn from(part: PartAddress) -> Self {
        let PartAddress { number, offset_bytes, size_bytes, address } = part;
        let Presigned { method, url, headers, expires_us } = address;
        let headers = headers.into_iter().collect();
        Self { number, url, method, headers, offset_bytes, size_bytes, expires_us }
    }
}

impl From<UploadStatus> for Status {
    fn from(status: UploadStatus) -> Self {
        let stored = |part: mcsp_runtime::Part| StoredPart {
            number: part.number,
            etag: part.etag.as_str().to_owned(),
            size_bytes: part.len_bytes,
        };
        Self {
            session_id: status.session,
            content_id: status.content,
            state: match status.state {
                UploadState::Open => "open",
                UploadState::Complete => "complete",
                UploadState::Aborted => "aborted",
                UploadState::Expired => "expired",
            },
            file_name: status.file_name,
            sha256: status.sha256.map(|digest| digest.to_string()),
            size_bytes: status.layout.size_bytes,
            part_bytes: status.layout.part_bytes,
            part_count: status.layout.count,
            bytes: status.bytes,
            parts: status.stored.into_iter().map(stored).collect(),
            missing: status.missing,
            expires_us: status.expires_us,
        }
    }
}

impl From<UploadDone> for Completed {
    fn from(done: UploadDone) -> Self {
        let (etag, size_bytes) = (done.source.etag, done.source.len_bytes);
        let revision = done.revision.number();
        Self { session_id: done.session, content_id: done.content, revision, etag, size_bytes }
    }
}

fn private() -> Visibility {
    Visibility::Private
}

fn free() -> SubscriptionTier {
    SubscriptionTier::Free
}

fn addresses_max() -> usize {
    ADDRESSES_MAX
}

fn visibility() -> utoipa::openapi::schema::Object {
    schema::words(Visibility::ALL.iter().map(|visibility| visibility.as_str()))
}

fn session_state() -> utoipa::openapi::schema::Object {
    schema::words(["open", "complete", "aborted", "expired"])
}
