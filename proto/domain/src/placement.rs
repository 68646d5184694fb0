//! Where bytes may live. A placement rides on every media event, so that residency is never looked up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest bucket name that S3 takes, in bytes.
const BUCKET_BYTES_MAX: usize = 63;

/// A bucket's name as S3 has it: 3 to 63 lowercase letters, digits and dashes, no dash at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bucket(String);

crate::schema::text_schema!(Bucket, "Bucket", "bucket");

/// Why text is no bucket.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("bucket {text:?} is not 3 to 63 of a-z, 0-9 and inner dashes")]
pub struct BucketError {
    text: String,
}

impl Bucket {
    /// Checks and wraps a name.
    ///
    /// # Errors
    /// When S3 would not take it.
    pub fn parse(text: &str) -> Result<Self, BucketError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if (3..=BUCKET_BYTES_MAX).contains(&text.len()) && edges && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(BucketError { text: text.chars().take(100).collect() })
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Bucket> for String {
    fn from(bucket: Bucket) -> Self {
        bucket.0
    }
}

impl TryFrom<String> for Bucket {
    type Error = BucketError;

    fn try_from(text: String) -> Result<Self, BucketError> {
        Self::parse(&text)
    }
}

/// How soon bytes must be at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// At once.
    #[default]
    Hot,
    /// At once, at a higher price a read.
    Warm,
    /// After hours.
    Cold,
}

/// Where the bytes of one content may live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// The region of the residency policy, such as `eu`.
    pub region: String,
    /// The region's bucket.
    pub bucket: Bucket,
    /// How soon the bytes must be at hand.
    pub tier: Tier,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_are_those_of_s3() {
        for text in ["", "ab", "-ab", "ab-", "Media", "a_b", &"x".repeat(64)] {
            assert!(Bucket::parse(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(Bucket::parse("media-eu").unwrap().as_str(), "media-eu");
    }
}
