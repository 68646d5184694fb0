//! The calls that the endpoint serves; every other one is answered `NotImplemented`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mcsp_domain::{Bucket, ObjectKey};
use mcsp_runtime::UploadId;
use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::{DEFAULT_REGION, lists, objects, uploads};
use crate::file_store::{FileStore, Inner};

/// The calls, over the buckets' stores.
pub(super) struct Api {
    buckets: Arc<BTreeMap<Bucket, FileStore>>,
    body_stall: Duration,
}

/// One bucket's store, and how bodies for it are taken.
pub(super) struct Room {
    pub(super) inner: Arc<Inner>,
    pub(super) body_stall: Duration,
}

impl Api {
    pub(super) fn new(buckets: Arc<BTreeMap<Bucket, FileStore>>, body_stall: Duration) -> Self {
        Self { buckets, body_stall }
    }

    fn room(&self, bucket: &str) -> S3Result<Room> {
        let store = Bucket::parse(bucket).ok().and_then(|bucket| self.buckets.get(&bucket));
        match store {
            Some(store) => Ok(Room { inner: Arc::clone(&store.inner), body_stall: self.body_stall }),
            None => Err(s3_error!(NoSuchBucket, "bucket {bucket} is not served here")),
        }
    }
}

/// Checks the name of an object that is to be stored.
pub(super) fn new_key(text: &str) -> S3Result<ObjectKey> {
    ObjectKey::parse(text).map_err(|error| s3_error!(InvalidArgument, "{error}"))
}

/// Checks the name of an object that should be there.
pub(super) fn known_key(text: &str) -> S3Result<ObjectKey> {
    ObjectKey::parse(text).map_err(|error| s3_error!(NoSuchKey, "{error}"))
}

/// Checks the id of an upload.
pub(super) fn upload_id(text: &str) -> S3Result<UploadId> {
    UploadId::parse(text).map_err(|error| s3_error!(NoSuchUpload, "{error}"))
}

fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

/// A number that S3 has signed, out of a count that cannot reach its end.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A strong tag, as the wire has it.
pub(super) fn wire_etag(etag: &mcsp_runtime::Etag) -> ETag {
    ETag::Strong(etag.to_string())
}

/// A moment, as the wire has it.
pub(super) fn wire_time(at_us: i64) -> Timestamp {
    let since_1970 = Duration::from_micros(u64::try_from(at_us).unwrap_or_default());
    Timestamp::from(std::time::SystemTime::UNIX_EPOCH + since_1970)
}

/// Refuses what would need more than we keep, rather than leave it out silently.
pub(super) fn refuse(present: bool, what: &str) -> Result<(), S3Error> {
    if present { Err(s3_error!(NotImplemented, "{what} is not kept here")) } else { Ok(()) }
}

#[async_trait::async_trait]
impl S3 for Api {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        answer(objects::put(&self.room(&request.input.bucket)?, request).await?)
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        answer(objects::get(&self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        answer(objects::head(&self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn get_object_attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        answer(objects::attributes(&self.room(&request.input.bucket)?, &request.input).await?)
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let CopySource::Bucket { bucket, .. } = &request.input.copy_source else {
            return Err(s3_error!(NotImplemented, "only objects of buckets can be copied"));
        };
        let from = self.room(bucket)?;
        answer(objects::copy(&from, &self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        refuse(request.input.if_match.is_some(), "a conditional delete")?;
        objects::delete(&self.room(&request.input.bucket)?, &request.input.key).await?;
        let deleted = DeleteObjectOutput::default();
        Ok(S3Response::with_status(deleted, axum::http::StatusCode::NO_CONTENT))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        answer(objects::delete_many(&self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        answer(lists::objects(&self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        answer(uploads::create(&self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        answer(uploads::put_part(&self.room(&request.input.bucket)?, request).await?)
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        answer(uploads::list_parts(&self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        answer(uploads::complete(&self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        uploads::abort(&self.room(&request.input.bucket)?, &request.input).await?;
        let aborted = AbortMultipartUploadOutput::default();
        Ok(S3Response::with_status(aborted, axum::http::StatusCode::NO_CONTENT))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        answer(lists::uploads(&self.room(&request.input.bucket)?, request.input).await?)
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.room(&request.input.bucket)?;
        answer(HeadBucketOutput { bucket_region: Some(DEFAULT_REGION.to_owned()), ..HeadBucketOutput::default() })
    }

    /// Buckets are configured; this tells a client that makes its own in which case it is.
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let bucket = &request.input.bucket;
        self.room(bucket).map_err(|_| s3_error!(AccessDenied, "buckets are configured, {bucket} is not"))?;
        Err(s3_error!(BucketAlreadyOwnedByYou, "bucket {bucket} is there"))
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let named =
            |bucket: &Bucket| s3s::dto::Bucket { name: Some(bucket.to_string()), ..s3s::dto::Bucket::default() };
        let buckets = self.buckets.keys().map(named).collect();
        answer(ListBucketsOutput { buckets: Some(buckets), ..ListBucketsOutput::default() })
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.room(&request.input.bucket)?;
        // Nothing stands for the default region.
        answer(GetBucketLocationOutput::default())
    }
}
