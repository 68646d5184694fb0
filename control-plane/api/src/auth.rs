//! Who asks: extractors of a route's arguments. A handler that takes `Creator` cannot be reached by less.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use mcsp_domain::{UserId, UserRole};
use mcsp_token::TokenError;

use crate::{Desk, Problem};

/// Somebody who is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// Who.
    pub user: UserId,
    /// What the account could do when its access token was minted.
    pub role: UserRole,
}

/// Somebody who may upload.
#[derive(Clone, Copy, Debug)]
pub struct Creator(pub Viewer);

/// Somebody who may decide on what was flagged.
#[derive(Clone, Copy, Debug)]
pub struct Moderator(pub Viewer);

/// Somebody who may do everything.
#[derive(Clone, Copy, Debug)]
pub struct Admin(pub Viewer);

/// The network address of who asks, for counters: a whole /64 counts as one where it is IPv6, since that is what one
/// household has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client(pub String);

/// What the gateway found in a request: a token is verified once.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) viewer: Result<Viewer, Refusal>,
}

/// Why nobody is signed in.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    NoToken,
    NoBearer,
    Token(TokenError),
}

impl Caller {
    pub(crate) fn of(desk: &Desk, parts: &Parts, proxies: &[IpAddr]) -> Self {
        let viewer = bearer(&parts.headers).and_then(|token| viewer_of(desk, token));
        Self { client: client(parts, proxies), viewer }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoToken => Self::signed_out("this needs an access token: Authorization: Bearer <token>"),
            Refusal::NoBearer => Self::signed_out("the Authorization header is not of the form Bearer <token>"),
            Refusal::Token(error) => Self::signed_out(error.to_string()),
        }
    }
}

/// Reads an access token, as it stands in a header or in a WebSocket's subprotocol.
pub(crate) fn viewer_of(desk: &Desk, token: &str) -> Result<Viewer, Refusal> {
    let claims = desk.auth.verify(token).map_err(Refusal::Token)?;
    Ok(Viewer { user: claims.sub, role: claims.role })
}

impl FromRequestParts<Arc<Desk>> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        let known = parts.extensions.get::<Caller>().map(|caller| caller.viewer.clone());
        let viewer = known.unwrap_or_else(|| bearer(&parts.headers).and_then(|token| viewer_of(desk, token)));
        Ok(viewer?)
    }
}

impl FromRequestParts<Arc<Desk>> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _desk: &Arc<Desk>) -> Result<Self, Problem> {
        let known = parts.extensions.get::<Caller>().map(|caller| caller.client.clone());
        Ok(known.unwrap_or_else(|| client(parts, &[])))
    }
}

macro_rules! at_least {
    ($($name:ident),+) => {$(
        impl FromRequestParts<Arc<Desk>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
                let viewer = Viewer::from_request_parts(parts, desk).await?;
                if viewer.role >= UserRole::$name {
                    return Ok(Self(viewer));
                }
                let (least, role) = (UserRole::$name, viewer.role);
                Err(Problem::forbidden(format!("this needs the role {least}, and the token says {role}")))
            }
        }
    )+};
}
at_least!(Creator, Moderator, Admin);

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(header::AUTHORIZATION).ok_or(Refusal::NoToken)?;
    let text = value.to_str().map_err(|_| Refusal::NoBearer)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Refusal::NoBearer),
    }
}

/// Returns who asks. Behind a proxy of ours it is who the proxy says, which is the last name of the list: those before it
/// came from the client.
fn client(parts: &Parts, proxies: &[IpAddr]) -> Client {
    let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
        return Client("unknown".to_owned());
    };
    let peer = peer.ip().to_canonical();
    let told = parts.headers.get_all("x-forwarded-for").iter().next_back();
    let told = told.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
    let address = if proxies.contains(&peer) { told.unwrap_or(peer) } else { peer };
    Client(match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn told(peer: &str, forwarded: Option<&str>) -> String {
        let mut request = Request::new(());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        if let Some(forwarded) = forwarded {
            request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
        }
        client(&request.into_parts().0, &["10.0.0.1".parse().unwrap()]).0
    }

    #[test]
    fn only_a_proxy_of_ours_names_another_client() {
        assert_eq!(told("192.0.2.7", Some("198.51.100.1")), "192.0.2.7");
        assert_eq!(told("10.0.0.1", Some("6.6.6.6, 198.51.100.1")), "198.51.100.1");
        assert_eq!(told("10.0.0.1", Some("nonsense")), "10.0.0.1");
        assert_eq!(told("2001:db8:1:2:3:4:5:6", None), "2001:db8:1:2::/64");
        assert_eq!(told("::ffff:192.0.2.7", None), "192.0.2.7");
    }
}
