//! Presigned addresses: AWS Signature Version 4 in the query ("Authenticating Requests: Using Query Parameters" of the S3
//! API reference). In: what the address shall allow, and the time. Out: the address and the headers that go with it.

use std::fmt::Write;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use mcsp_domain::Bucket;
use mcsp_domain::limits::{PRESIGN_S_MAX, UPLOAD_PARTS_MAX};
use mcsp_runtime::{BoundHeaders, PresignCall, PresignRequest, Presigned, StoreError};
use sha2::{Digest as _, Sha256};

/// The region that S3 clients assume where none is set.
pub const DEFAULT_REGION: &str = "us-east-1";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A key pair of the endpoint.
#[derive(Clone)]
pub struct S3Credentials {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
}

impl std::fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Makes addresses of one bucket of an endpoint.
#[derive(Clone, Debug)]
pub struct Presigner {
    /// Scheme and authority, without a slash at the end.
    endpoint: String,
    host: String,
    bucket: Bucket,
    region: String,
    credentials: S3Credentials,
}

/// Why an endpoint's address does not fit.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("S3 endpoint {0:?} is not http:// or https:// with a host and no path")]
pub struct EndpointUrlError(String);

impl Presigner {
    /// Prepares addresses. `endpoint` is the address that clients reach, such as `https://upload.example.org`.
    ///
    /// # Errors
    /// When the address has no scheme or host, or a path.
    pub fn new(endpoint: &str, bucket: Bucket, credentials: S3Credentials) -> Result<Self, EndpointUrlError> {
        let trimmed = endpoint.strip_suffix('/').unwrap_or(endpoint);
        let host = trimmed.strip_prefix("http://").or_else(|| trimmed.strip_prefix("https://"));
        let plain = |host: &&str| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
        let Some(host) = host.filter(plain) else { return Err(EndpointUrlError(endpoint.to_owned())) };
        // The port that goes without saying is not sent, and so not signed.
        let port = if trimmed.starts_with("http://") { ":80" } else { ":443" };
        let host = host.strip_suffix(port).unwrap_or(host).to_owned();
        Ok(Self { endpoint: trimmed.to_owned(), host, bucket, region: DEFAULT_REGION.to_owned(), credentials })
    }

    /// Makes an address.
    ///
    /// # Errors
    /// `Unsupported` when it should work longer than a week, or names no part.
    pub fn presign(&self, request: &PresignRequest, now_us: i64) -> Result<Presigned, StoreError> {
        let refuse =
            |reason: String| StoreError::Unsupported { action: "presign", key: request.key.to_string(), reason };
        if !(1..=PRESIGN_S_MAX).contains(&request.expires_s) {
            return Err(refuse(format!("{} s is not 1 to {PRESIGN_S_MAX} s", request.expires_s)));
        }
        let (method, call_query) = match &request.call {
            PresignCall::Get => ("GET", Vec::new()),
            PresignCall::Put => ("PUT", Vec::new()),
            PresignCall::UploadPart { number, .. } if !(1..=UPLOAD_PARTS_MAX).contains(number) => {
                return Err(refuse(format!("{number} is no part number")));
            }
            PresignCall::UploadPart { upload, number } => {
                ("PUT", vec![("partNumber", number.to_string()), ("uploadId", upload.to_string())])
            }
        };
        let headers = bound_headers(&request.bound);
        let path = format!("/{}/{}", self.bucket, request.key);
        let date = iso_date(now_us).ok_or_else(|| refuse(format!("the clock says {now_us} µs")))?;
        let call = Call {
            method,
            host: &self.host,
            path: &path,
            query: call_query,
            headers: &headers,
            date: &date,
            expires_s: request.expires_s,
        };
        let query = call.sign(&self.region, &self.credentials);
        let expires_us = now_us.saturating_add(i64::from(request.expires_s) * 1_000_000);
        Ok(Presigned { method, url: format!("{}{path}?{query}", self.endpoint), headers, expires_us })
    }
}

fn bound_headers(bound: &BoundHeaders) -> Vec<(String, String)> {
    // In the order of their names, as the signature wants them.
    let mut headers = Vec::new();
    if let Some(len_bytes) = bound.content_length_bytes {
        headers.push(("content-length".to_owned(), len_bytes.to_string()));
    }
    if bound.absent {
        headers.push(("if-none-match".to_owned(), "*".to_owned()));
    }
    if let Some(digest) = bound.checksum_sha256 {
        headers.push(("x-amz-checksum-sha256".to_owned(), BASE64_STANDARD.encode(digest.as_bytes())));
    }
    headers
}

/// The moment as `20130524T000000Z`.
fn iso_date(now_us: i64) -> Option<String> {
    Some(jiff::Timestamp::from_microsecond(now_us).ok()?.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// One call to sign.
struct Call<'a> {
    method: &'a str,
    host: &'a str,
    /// Without characters that would need escaping: object keys hold none.
    path: &'a str,
    query: Vec<(&'static str, String)>,
    /// In the order of their lower-case names.
    headers: &'a [(String, String)],
    date: &'a str,
    expires_s: u32,
}

impl Call<'_> {
    /// Returns the query with its signature.
    fn sign(&self, region: &str, credentials: &S3Credentials) -> String {
        let day = self.date.get(..8).unwrap_or_default();
        let scope = format!("{day}/{region}/s3/aws4_request");
        let mut headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        headers.push(("host", self.host));
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");

        let mut query = vec![
            ("X-Amz-Algorithm", ALGORITHM.to_owned()),
            ("X-Amz-Credential", format!("{}/{scope}", credentials.access_key)),
            ("X-Amz-Date", self.date.to_owned()),
            ("X-Amz-Expires", self.expires_s.to_string()),
            ("X-Amz-SignedHeaders", names.clone()),
        ];
        query.extend(self.query.iter().cloned());
        query.sort_unstable();
        let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let mut query = pairs.join("&");

        let mut lines = String::new();
        for (name, value) in &headers {
            lines.push_str(&format!("{name}:{}\n", value.trim()));
        }
        let canonical = format!("{}\n{}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD", self.method, self.path);
        let digest = hex::encode(Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("{ALGORITHM}\n{}\n{scope}\n{digest}", self.date);
        let mut key = hmac(format!("AWS4{}", credentials.secret_key).as_bytes(), day.as_bytes());
        for part in [region, "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
        query.push_str("&X-Amz-Signature=");
        query.push_str(&signature);
        query
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { unreachable!("HMAC takes keys of any length") };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Escapes all but the unreserved characters of RFC 3986.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_domain::ObjectKey;

    fn credentials() -> S3Credentials {
        S3Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        }
    }

    #[test]
    fn signs_the_published_example() {
        // "Example: Presigned URL" of the S3 API reference, sigv4-query-string-auth.
        let call = Call {
            method: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path: "/test.txt",
            query: Vec::new(),
            headers: &[],
            date: "20130524T000000Z",
            expires_s: 86_400,
        };
        assert_eq!(
            call.sign("us-east-1", &credentials()),
            "X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn binds_the_headers_that_were_asked_for() {
        let presigner =
            Presigner::new("http://127.0.0.1:80/", Bucket::parse("media-eu").unwrap(), credentials()).unwrap();
        let bound = BoundHeaders { absent: true, content_length_bytes: Some(5), checksum_sha256: None };
        let key = ObjectKey::parse("a/b").unwrap();
        let request = PresignRequest { call: PresignCall::Put, key, expires_s: 60, bound };
        let presigned = presigner.presign(&request, 1_369_353_600_000_000).unwrap();
        assert_eq!(presigned.method, "PUT");
        assert!(presigned.url.starts_with("http://127.0.0.1:80/media-eu/a/b?X-Amz-Algorithm="), "{}", presigned.url);
        assert!(presigned.url.contains("SignedHeaders=content-length%3Bhost%3Bif-none-match&"), "{}", presigned.url);
        assert!(presigned.url.contains("X-Amz-Date=20130524T000000Z"), "{}", presigned.url);
        assert_eq!(presigned.expires_us, 1_369_353_660_000_000);
        let too_long = PresignRequest { expires_s: PRESIGN_S_MAX + 1, ..request };
        let error = presigner.presign(&too_long, 0).unwrap_err();
        assert_eq!(error.to_string(), "store cannot presign a/b: 604801 s is not 1 to 604800 s");
    }

    #[test]
    fn endpoints_have_no_path() {
        for text in ["", "ftp://a", "http://", "http://a/b", "https://u@a"] {
            let bucket = Bucket::parse("media-eu").unwrap();
            assert!(Presigner::new(text, bucket, credentials()).is_err(), "{text:?} was taken");
        }
    }
}
