//! Schemas of domain words in the API's document, for `#[schema(schema_with = …)]`: ids, closed sets of words, times.

use mcsp_domain::{SubscriptionTier, UserRole};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaFormat, Type};

/// Characters of an id: the hyphenated form of a UUID.
const ID_CHARS: usize = 36;

/// A UUID.
pub(crate) fn id() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
        .min_length(Some(ID_CHARS))
        .max_length(Some(ID_CHARS))
        .build()
}

/// A time, microseconds since 1970.
pub(crate) fn time_us() -> Object {
    let description = "Microseconds since 1970, UTC.";
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::Custom("int64".to_owned())))
        .description(Some(description))
        .build()
}

/// A role of an account.
pub(crate) fn role() -> Object {
    words(UserRole::ALL.iter().map(|role| role.as_str()))
}

/// A role that a new account may have.
pub(crate) fn new_role() -> Object {
    words([UserRole::Viewer, UserRole::Creator].into_iter().map(UserRole::as_str))
}

/// A tier of an account or a content.
pub(crate) fn tier() -> Object {
    words(SubscriptionTier::ALL.iter().map(|tier| tier.as_str()))
}

/// One of a closed set of words.
pub(crate) fn words(all: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(all)).build()
}
