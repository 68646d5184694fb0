//! JSON Schemas (draft 2020-12) of the words that travel as checked text.

/// Gives a type that serialises as text the schema of a string with a format.
macro_rules! text_schema {
    ($type:ty, $name:expr, $format:literal) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}

pub(crate) use text_schema;
