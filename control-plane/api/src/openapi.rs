//! The API's document, OpenAPI 3.1, made of the routes. What every operation may answer is added here, once.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::idempotency::takes_key;
use crate::problem::ProblemBody;
use crate::routes;

/// The name of the security scheme; its scopes name the least role: `security(("bearer" = ["creator"]))`.
const BEARER: &str = "bearer";
const PROBLEM_JSON: &str = "application/problem+json";

/// Returns the document of the API of a platform that takes uploads of so many bytes.
pub fn openapi(upload_bytes_max: u64) -> OpenApi {
    let (_, mut document) = routes::all().split_for_parts();
    for (path, item) in &mut document.paths.paths {
        for (is_post, operation) in operations(item) {
            complete(path, is_post, operation);
        }
    }
    let mut http = Http::new(HttpAuthScheme::Bearer);
    http.bearer_format = Some("JWT".to_owned());
    http.description = Some("An access token of /api/v1/auth/login; its scopes name the least role.".to_owned());
    let mut schemas = document.components.take().map(|components| components.schemas).unwrap_or_default();
    for name in ["NewSession", "NewSource"] {
        if let Some(RefOr::T(schema)) = schemas.get_mut(name) {
            bound(schema, "size_bytes", upload_bytes_max);
        }
    }
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .schema(ProblemBody::name(), ProblemBody::schema())
        .security_scheme(BEARER, SecurityScheme::Http(http))
        .build();
    let info = InfoBuilder::new()
        .title("MCSP")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Upload, publish, moderate, find and play media. What happens to an account's contents comes over the WebSocket \
             /api/v1/events, one JSON object {cursor, kind, content, body, at_us} a message; `?after=<cursor>` goes on behind one.",
        ))
        .build();
    OpenApiBuilder::from(document).info(info).components(Some(components)).build()
}

/// Sets the largest value of a number among an object's properties.
fn bound(schema: &mut Schema, property: &str, max: u64) {
    if let Schema::Object(object) = schema
        && let Some(RefOr::T(Schema::Object(property))) = object.properties.get_mut(property)
    {
        property.maximum = Some(max.into());
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let others = [&mut item.get, &mut item.put, &mut item.delete, &mut item.patch, &mut item.head];
    let post = item.post.as_mut().map(|operation| (true, operation));
    post.into_iter().chain(others.into_iter().flatten().map(|operation| (false, operation)))
}

/// Adds what the gateway and the extractors may answer. An answer that the route itself declares stays.
fn complete(path: &str, is_post: bool, operation: &mut Operation) {
    add(operation, "429", "Too many requests.");
    add(operation, "500", "A fault of the platform.");
    add(operation, "503", "A part of the platform cannot answer for now, or not in time.");
    let signed_in = operation.security.as_ref().is_some_and(|security| !security.is_empty());
    if signed_in {
        add(operation, "401", "Nobody is signed in, or no longer.");
        add(operation, "403", "This account may not do it.");
    }
    if path.contains('{') {
        add(operation, "404", "There is no such resource, or none that this account may know of.");
    }
    if operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()) {
        add(operation, "400", "The request cannot be read.");
        add(operation, "422", "A field breaks a rule.");
    }
    if operation.request_body.is_some() {
        add(operation, "400", "The request cannot be read.");
        add(operation, "413", "The body is too large.");
        add(operation, "415", "The body is no JSON.");
        add(operation, "422", "A field breaks a rule.");
    }
    if is_post && takes_key(path) {
        add_key(operation);
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            tell_rate(response);
            if status.starts_with(['4', '5']) && response.content.is_empty() {
                response.content.insert(PROBLEM_JSON.to_owned(), RefOr::T(problem_content()));
            }
        }
    }
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let responses = &mut operation.responses.responses;
    let response = || RefOr::T(ResponseBuilder::new().description(description).build());
    responses.entry(status.to_owned()).or_insert_with(response);
}

fn add_key(operation: &mut Operation) {
    let description = "Names the request, so that it makes one thing however often it comes: the answer that made \
        something is given again for 24 h.";
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(mcsp_services::idempotency::KEY_CHARS_MAX))
        .pattern(Some("^[!-~]+$"));
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema));
    operation.parameters.get_or_insert_default().push(RefOr::T(key.build()));
    add(operation, "400", "The request cannot be read.");
    add(
        operation,
        "409",
        "The Idempotency-Key stood on another request or one being answered, or the state does not allow it.",
    );
    add(operation, "413", "The body is too large.");
    add(operation, "422", "A field breaks a rule.");
}

fn tell_rate(response: &mut Response) {
    let text = || RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build()));
    for name in ["RateLimit", "RateLimit-Policy"] {
        let header =
            HeaderBuilder::new().schema(Some(text())).description(Some("Requests left, and of how many.")).build();
        response.headers.entry(name.to_owned()).or_insert(RefOr::T(header));
    }
}

fn problem_content() -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build()
}
