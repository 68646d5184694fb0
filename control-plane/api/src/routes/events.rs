//! The WebSocket on which a user is shown what happens: RFC 6455, one JSON message a frame, nothing taken but pongs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use mcsp_domain::UserId;
use mcsp_runtime::{chain, now_us};
use mcsp_services::notify::{LiveMessage, LiveStream, LiveTimes};
use mcsp_token::TokenError;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior};
use utoipa_axum::router::OpenApiRouter;

use crate::auth::Refusal;
use crate::body::Params;
use crate::{Desk, Problem};

/// The subprotocol that a browser names before its token, since it can set no header.
const PROTOCOL: &str = "bearer";
/// Bytes of a frame from a client: pongs carry 125.
const FRAME_BYTES_MAX: usize = 4096;
/// How long a connection that ends waits for its last frame to go out.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// The longest that a connection is open, whatever its token says.
const OPEN_MAX: Duration = Duration::from_secs(24 * 3600);

/// Returns the routes of this file.
pub(crate) fn routes() -> OpenApiRouter<Arc<Desk>> {
    // An OpenAPI document has no words for what follows a change of protocol.
    OpenApiRouter::default().route("/api/v1/events", get(events))
}

/// Where a client left off.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// `cursor` of the last message that was seen; without it, the stream begins now.
    after: Option<String>,
}

/// Who listens, and until when his token is good.
struct Listener {
    user: UserId,
    exp_s: i64,
}

/// Why a connection is closed from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client is gone, or said so.
    Left,
    /// The access token has expired: come again with another.
    Expired,
    /// The client takes nothing, or says nothing.
    Slow,
    /// The client said what nobody asked for.
    Spoke,
    /// The platform failed.
    Failed,
}

/// Shows what happens to the user's contents, as it happens.
///
/// Each message is a JSON object `{cursor, kind, content, body, at_us}`. Kinds: `events.ready` comes first; `events.missed`
/// tells that older messages are gone; `content.state`, `content.step`, `content.rendition`, `moderation.decided`;
/// `upload.progress` each second, which is not kept. `after` goes on behind a cursor, without loss or repetition. The token
/// stands in `Authorization`, or as the second of the subprotocols `bearer, <token>`. Close codes: 4401 when the token has
/// expired, 4408 when the client is too slow, 1011 when the platform failed; come again with the last cursor.
async fn events(
    State(desk): State<Arc<Desk>>,
    listener: Listener,
    Params(query): Params<EventsQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let after = query.after.as_deref().map(position).transpose()?;
    let upgrade = upgrade.map_err(|rejection| {
        let problem = Problem::new(StatusCode::UPGRADE_REQUIRED, "no-websocket", rejection.body_text());
        problem.with(header::UPGRADE, header::HeaderValue::from_static("websocket"))
    })?;
    let stream = desk.events.stream(listener.user, after).await?;
    let times = desk.events.times();
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(FRAME_BYTES_MAX).max_frame_size(FRAME_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| serve(socket, stream, times, listener.exp_s)))
}

fn position(text: &str) -> Result<u64, Problem> {
    let is_canonical = text == "0" || !text.starts_with('0');
    let is_number = is_canonical && (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or_else(|| Problem::invalid("after", "after is no cursor"))
}

/// Sends until the connection ends, and says why.
async fn serve(mut socket: WebSocket, mut stream: LiveStream, times: LiveTimes, exp_s: i64) {
    metrics::gauge!("mcsp_live_connections").increment(1.0);
    let end = converse(&mut socket, &mut stream, times, exp_s).await;
    metrics::gauge!("mcsp_live_connections").decrement(1.0);
    tracing::debug!(?end, "a live connection ended");
    if let Some((code, reason)) = end.frame() {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        // A client that takes nothing does not take this either.
        let _ = tokio::time::timeout(CLOSE_WAIT, socket.send(Message::Close(Some(frame)))).await;
    }
}

async fn converse(socket: &mut WebSocket, stream: &mut LiveStream, times: LiveTimes, exp_s: i64) -> End {
    let left_us = exp_s.saturating_mul(1_000_000).saturating_sub(now_us());
    let left = Duration::from_micros(u64::try_from(left_us).unwrap_or(0)).min(OPEN_MAX);
    let expiry = tokio::time::sleep(left);
    tokio::pin!(expiry);
    let mut pings = tokio::time::interval_at(Instant::now() + times.ping_every, times.ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let sent = tokio::select! {
            () = &mut expiry => return End::Expired,
            received = socket.recv() => match received {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => { heard = Instant::now(); Ok(()) }
                Some(Ok(Message::Text(_) | Message::Binary(_))) => return End::Spoke,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Left,
            },
            _ = pings.tick() => {
                if heard.elapsed() > times.silence_max {
                    return End::Slow;
                }
                send(socket, Message::Ping(bytes::Bytes::new()), times.send_max).await
            }
            message = stream.next() => match message {
                Ok(message) => send(socket, text(&message), times.send_max).await,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "a live connection could not be served");
                    return End::Failed;
                }
            },
        };
        if let Err(end) = sent {
            return end;
        }
    }
}

/// Hands one message to the connection. One waits at a time: what follows stays in the catalog.
async fn send(socket: &mut WebSocket, message: Message, send_max: Duration) -> Result<(), End> {
    match tokio::time::timeout(send_max, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Left),
        Err(_) => Err(End::Slow),
    }
}

fn text(message: &LiveMessage) -> Message {
    // Plain values with text keys: nothing in it can fail to serialise.
    Message::Text(serde_json::to_string(message).unwrap_or_default().into())
}

impl End {
    fn frame(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Left => None,
            Self::Expired => Some((4401, "the access token has expired")),
            Self::Slow => Some((4408, "the client is too slow")),
            Self::Spoke => Some((1003, "nothing is taken here")),
            Self::Failed => Some((1011, "the platform failed")),
        }
    }
}

impl FromRequestParts<Arc<Desk>> for Listener {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        let token = token(&parts.headers).ok_or(Refusal::NoToken)?;
        let claims = desk.auth.verify(token).map_err(|error: TokenError| Refusal::Token(error))?;
        Ok(Self { user: claims.sub, exp_s: claims.exp_s })
    }
}

/// Returns the token of the `Authorization` header, or of the subprotocols.
fn token(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case(PROTOCOL).then(|| token.trim());
    }
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let mut protocols = protocols.split(',').map(str::trim);
    (protocols.next() == Some(PROTOCOL)).then(|| protocols.next())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stand_in_either_header() {
        let token_of = |name: &'static str, value: &str| {
            let headers = HeaderMap::from_iter([(header::HeaderName::from_static(name), value.parse().unwrap())]);
            token(&headers).map(str::to_owned)
        };
        assert_eq!(token_of("authorization", "Bearer a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(token_of("sec-websocket-protocol", "bearer, a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(token_of("sec-websocket-protocol", "bearer,a.b.c").as_deref(), Some("a.b.c"));
        for value in ["bearer", "a.b.c", "chat, bearer, a.b.c", ""] {
            assert_eq!(token_of("sec-websocket-protocol", value), None, "{value:?}");
        }
        assert_eq!(token_of("authorization", "Basic a.b.c"), None);
    }

    #[test]
    fn cursors_are_numbers() {
        for text in ["0", "1", "999999999999999999"] {
            assert_eq!(position(text).unwrap().to_string(), text);
        }
        for text in ["", "-1", "+1", "01", "1e3", " 1", "1000000000000000000", "٣"] {
            assert!(position(text).is_err(), "{text:?} was taken");
        }
    }
}
