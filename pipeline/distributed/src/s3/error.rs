//! What can be wrong with an S3, in words for whoever runs it, and how the answers of calls are sorted. No message holds a
//! secret key.

use std::error::Error;
use std::io::ErrorKind;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use mcsp_domain::{Bucket, ObjectKey};
use mcsp_runtime::{StoreError, chain};

use crate::authorities::TlsFileError;

/// Characters of an answer that an error shows.
const ANSWER_CHARS_MAX: usize = 300;

/// Why a bucket does not serve. `may_pass` tells whether time may help.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The address does not fit.
    #[error("S3 endpoint {endpoint:?} is not http:// or https:// with a host, without a login, path or query")]
    Address {
        /// What was given, without what stands before an `@`.
        endpoint: String,
    },
    /// A file of TLS does not serve.
    #[error("S3 at {endpoint} cannot be reached by TLS")]
    Tls {
        /// The address.
        endpoint: String,
        /// The cause.
        #[source]
        source: TlsFileError,
    },
    /// S3 knows its clients by their keys.
    #[error("S3 at {endpoint} is signed to with a key pair: a client certificate cannot be shown")]
    ClientCertificate {
        /// The address.
        endpoint: String,
    },
    /// It does not answer, or not yet.
    #[error("S3 at {endpoint} does not answer for bucket {bucket}: {problem}")]
    Unreachable {
        /// The address.
        endpoint: String,
        /// The bucket.
        bucket: Bucket,
        /// What went wrong.
        problem: String,
    },
    /// There is no such bucket.
    #[error("S3 at {endpoint} has no bucket {bucket}")]
    NoBucket {
        /// The address.
        endpoint: String,
        /// The bucket.
        bucket: Bucket,
    },
    /// The key pair is not taken, or lets nobody at this bucket.
    #[error("S3 at {endpoint} refuses access key {access_key:?} at bucket {bucket}: {code}")]
    Login {
        /// The address.
        endpoint: String,
        /// The bucket.
        bucket: Bucket,
        /// The public half of the pair.
        access_key: String,
        /// S3's word for it.
        code: String,
    },
    /// The bucket lies in another region.
    #[error("S3 at {endpoint} has bucket {bucket} in another region than {region}: {code}")]
    Region {
        /// The address.
        endpoint: String,
        /// The bucket.
        bucket: Bucket,
        /// The region that was given.
        region: String,
        /// S3's word for it.
        code: String,
    },
    /// It answered with an error.
    #[error("S3 at {endpoint} refuses bucket {bucket}: {answer}")]
    Refused {
        /// The address.
        endpoint: String,
        /// The bucket.
        bucket: Bucket,
        /// What it said.
        answer: String,
    },
}

impl S3Error {
    /// Returns whether the same call may succeed later without anyone changing a configuration.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// A call that was not served.
#[derive(Debug)]
pub(super) struct Fault {
    /// None where no answer came: the call may have taken effect.
    pub(super) status: Option<u16>,
    /// S3's word for it.
    pub(super) code: String,
    /// What went wrong, for people.
    pub(super) text: String,
}

impl<E, R> From<SdkError<E, R>> for Fault
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + Status + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        let told = match &error {
            SdkError::ServiceError(answer) => {
                let known = answer.err().meta();
                Some((answer.raw().status(), known.code().unwrap_or_default(), known.message().unwrap_or_default()))
            }
            SdkError::ResponseError(answer) => Some((answer.raw().status(), "", "the answer cannot be read")),
            _ => None,
        };
        let Some((status, code, message)) = told else {
            return Self { status: None, code: String::new(), text: cut(&chain(&error)) };
        };
        let words: Vec<String> = [status.to_string(), code.to_owned(), message.to_owned()]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        Self { status: Some(status), code: code.to_owned(), text: cut(&words.join(" ")) }
    }
}

/// The status of an answer.
pub(super) trait Status {
    /// Returns it as a number.
    fn status(&self) -> u16;
}

impl Status for aws_sdk_s3::config::http::HttpResponse {
    fn status(&self) -> u16 {
        self.status().as_u16()
    }
}

fn cut(text: &str) -> String {
    text.chars().take(ANSWER_CHARS_MAX).collect()
}

impl Fault {
    /// There is no such object. A bucket that is gone is another matter.
    pub(super) fn is_missing(&self) -> bool {
        self.status == Some(404) && !matches!(self.code.as_str(), "NoSuchBucket" | "NoSuchUpload")
    }

    /// There is no such upload.
    pub(super) fn is_no_upload(&self) -> bool {
        self.code == "NoSuchUpload"
    }

    /// A condition did not hold.
    pub(super) fn is_unmet(&self) -> bool {
        self.status == Some(412)
    }

    /// The range begins behind the object's end.
    pub(super) fn is_beyond(&self) -> bool {
        self.status == Some(416)
    }

    /// Whether asking again may help: no answer, an overloaded server, or two conditional writes that met.
    pub(super) fn may_pass(&self) -> bool {
        self.status.is_none_or(|status| status >= 500 || matches!(status, 408 | 409 | 429))
    }

    /// Whether the call may have taken effect all the same.
    pub(super) fn is_open(&self) -> bool {
        self.status.is_none_or(|status| status >= 500 || status == 408)
    }

    /// Names what failed on which key.
    pub(super) fn on(self, action: &'static str, key: &ObjectKey) -> StoreError {
        let kind = match self.status {
            None => ErrorKind::ConnectionAborted,
            Some(401 | 403) => ErrorKind::PermissionDenied,
            Some(404) => ErrorKind::NotFound,
            Some(_) => ErrorKind::Other,
        };
        StoreError::Io { action, key: key.to_string(), source: std::io::Error::new(kind, self.text) }
    }
}

/// Names what failed on which key, where an answer makes no sense.
pub(super) fn nonsense(action: &'static str, key: &ObjectKey, what: &str) -> StoreError {
    let source = std::io::Error::new(ErrorKind::InvalidData, format!("S3 answered with {what}"));
    StoreError::Io { action, key: key.to_string(), source }
}
