//! Answers kept for requests that come again under one Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a
//! client that lost the answer gets it again, and nothing is made twice.
//!
//! An answer may hold tokens and presigned addresses, and a request a password. So the client's key is not stored: rows are
//! found by a digest of it, requests are compared by one that it salts, and answers are sealed by a third (AES-256-GCM).

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use mcsp_catalog::{AnswerState, Catalog, CatalogError};
use mcsp_domain::Digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Characters of a key: Stripe's bound.
pub const KEY_CHARS_MAX: usize = 255;
/// Bytes of a kept answer: one with the addresses of 10,000 parts.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;

/// How long an answer is kept: 24 h.
const KEEP_US: i64 = 24 * 3600 * 1_000_000;
/// How long a request may be in the works before its claim counts as lost: longer than the API lets one run.
const CLAIM_US: i64 = 45 * 1_000_000;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The kept answers of a catalog. Clones share everything.
#[derive(Clone)]
pub struct Answers {
    catalog: Catalog,
}

/// What makes a request the same one.
#[derive(Clone, Copy)]
pub struct RequestIdentity<'a> {
    /// Who asks, and for what: account, method and path.
    pub scope: &'a str,
    /// The client's key.
    pub key: &'a str,
    /// The rest: query and body.
    pub parts: &'a [&'a [u8]],
}

/// What came of the beginning of a request.
#[derive(Debug)]
pub enum Begun {
    /// It is new: answer it, then `keep` or `give_back`.
    Fresh(Claim),
    /// It is being answered.
    InFlight,
    /// Its key stood on another request.
    OtherRequest,
    /// It was answered so.
    Answered(KeptAnswer),
}

/// The right to answer a request.
pub struct Claim {
    id: Digest,
    seal: Zeroizing<[u8; 32]>,
    name: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers: name, value.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Why an answer could not be kept or given.
#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    /// The catalog failed.
    #[error("kept answers")]
    Catalog(#[from] CatalogError),
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Randomness(#[source] getrandom::Error),
    /// A row that we could not have written.
    #[error("kept answer {id} does not open")]
    Damaged {
        /// Its digest.
        id: Digest,
    },
}

impl Answers {
    /// Opens the kept answers of a catalog.
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }

    /// Begins a request at `now_us`, or tells what is known of it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn begin(&self, request: &RequestIdentity<'_>, now_us: i64) -> Result<Begun, IdempotencyError> {
        let digest = |label: &[u8], parts: &[&[u8]]| {
            let head: [&[u8]; 3] = [label, request.scope.as_bytes(), request.key.as_bytes()];
            Digest::of(&[&head, parts].concat())
        };
        let id = digest(b"mcsp answer id", &[]);
        let fingerprint = digest(b"mcsp answer fingerprint", request.parts);
        let seal = Zeroizing::new(*digest(b"mcsp answer seal", &[]).as_bytes());
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(IdempotencyError::Randomness)?;
        let claim = Claim { id, seal, name: hex::encode(name) };

        let mut tx = self.catalog.begin().await?;
        let state = tx.claim_answer(&id, &fingerprint, &claim.name, now_us, now_us.saturating_add(CLAIM_US)).await?;
        tx.commit().await?;
        Ok(match state {
            AnswerState::Claimed => Begun::Fresh(claim),
            AnswerState::InFlight => Begun::InFlight,
            AnswerState::OtherRequest => Begun::OtherRequest,
            AnswerState::Answered { status, sealed } => {
                let opened = open(&claim, &sealed).ok_or(IdempotencyError::Damaged { id })?;
                let body = BASE64.decode(opened.body).map_err(|_| IdempotencyError::Damaged { id })?;
                Begun::Answered(KeptAnswer { status, headers: opened.headers, body })
            }
        })
    }

    /// Keeps the answer to a request for 24 h. One over `ANSWER_BYTES_MAX` is not kept: the request may come again.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn keep(&self, claim: &Claim, answer: KeptAnswer, now_us: i64) -> Result<(), IdempotencyError> {
        if answer.body.len() > ANSWER_BYTES_MAX {
            return self.give_back(claim).await;
        }
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(IdempotencyError::Randomness)?;
        let status = answer.status;
        let sealed = seal(claim, nonce, &Sealed { headers: answer.headers, body: BASE64.encode(&answer.body) });
        let until_us = now_us.saturating_add(KEEP_US);
        Ok(self.catalog.keep_answer(&claim.id, &claim.name, status, &sealed, until_us).await?)
    }

    /// Gives a request back whose answer made nothing: it may come again.
    ///
    /// # Errors
    /// When the catalog fails; the claim then runs out by itself.
    pub async fn give_back(&self, claim: &Claim) -> Result<(), IdempotencyError> {
        Ok(self.catalog.drop_answer(&claim.id, &claim.name).await?)
    }

    /// Forgets answers whose time is over. Returns how many. For a sweep now and then.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn sweep(&self, now_us: i64) -> Result<u64, IdempotencyError> {
        Ok(self.catalog.sweep_answers(now_us).await?)
    }
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What is sealed of an answer.
#[derive(Serialize, Deserialize)]
struct Sealed {
    headers: Vec<(String, Vec<u8>)>,
    /// Base64: a list of numbers would be four times as long.
    body: String,
}

/// Returns nonce, ciphertext and tag.
fn seal(claim: &Claim, nonce: [u8; NONCE_BYTES], answer: &Sealed) -> Vec<u8> {
    let mut text = Zeroizing::new(serde_json::to_vec(answer).unwrap_or_default());
    assert!(!text.is_empty(), "an answer of plain values failed to serialise");
    let cipher = Aes256Gcm::new((&*claim.seal).into());
    let tag = cipher.encrypt_inout_detached(&Nonce::from(nonce), claim.id.as_bytes(), text.as_mut_slice().into());
    let Ok(tag) = tag else { unreachable!("an answer of some MiB is within the bounds of AES-GCM") };
    [&nonce, text.as_slice(), &tag].concat()
}

fn open(claim: &Claim, sealed: &[u8]) -> Option<Sealed> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let (text, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let cipher = Aes256Gcm::new((&*claim.seal).into());
    let inout = text.as_mut_slice().into();
    cipher.decrypt_inout_detached(&Nonce::from(*nonce), claim.id.as_bytes(), inout, &Tag::from(*tag)).ok()?;
    serde_json::from_slice(&text).ok()
}
