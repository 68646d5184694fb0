//! Where webhooks may go. An address is a stranger's wish, so nothing inside our network is reached by it: names are resolved
//! once, by us, every address that is not of the public internet is left out, and the connection goes to what is left.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use regex::Regex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::{NotifyError, URL_CHARS_MAX};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What an address on the public internet looks like: HTTPS (RFC 9110, section 4.2.2) to a name of at least two labels, since
/// certificates are for names; path and query in the characters of RFC 3986, appendix A, and no fragment.
pub const URL_PATTERN: &str = "^https://([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.){1,8}[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(:[1-9][0-9]{0,3}|:[1-5][0-9]{4})?(/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?(\\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?$";

/// What is allowed beyond HTTPS to the public internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetPolicy {
    /// Plain HTTP.
    pub allow_http: bool,
    /// Private, loopback and link-local addresses: for tests, and where all runs on one machine.
    pub allow_private: bool,
}

impl TargetPolicy {
    /// Reads an address. A name is not resolved here: what it resolves to counts when something is sent.
    ///
    /// # Errors
    /// When nothing would be sent there.
    pub fn check(self, text: &str) -> Result<Url, NotifyError> {
        let fault = |why: &str| NotifyError::Address { why: why.to_owned() };
        if text.chars().count() > URL_CHARS_MAX {
            return Err(fault(&format!("has more than {URL_CHARS_MAX} characters")));
        }
        let url = Url::parse(text).map_err(|error| fault(&format!("is no URL: {error}")))?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err(fault("does not begin with https://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fault("holds a name or a password"));
        }
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) => None,
            None => return Err(fault("names no host")),
        };
        if ip.is_some_and(|ip| !self.allows(ip)) {
            return Err(fault("is not of the public internet"));
        }
        static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(URL_PATTERN).ok());
        if !self.allow_private && !PATTERN.as_ref().is_some_and(|pattern| pattern.is_match(text)) {
            return Err(fault("is not https:// with a name, and in plain characters (percent-encode others)"));
        }
        Ok(url)
    }

    /// Returns whether something may be sent to an address.
    pub fn allows(self, ip: IpAddr) -> bool {
        self.allow_private || is_public(ip)
    }
}

/// Resolves names by the operating system and gives only addresses that the policy allows. The client connects to what it is
/// given, so that a name which resolves differently a moment later gains nothing.
pub(super) struct GuardedResolver {
    pub(super) policy: TargetPolicy,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = allowed(policy, found);
            if allowed.is_empty() {
                let error: Box<dyn Error + Send + Sync> =
                    format!("{} resolves to no address of the public internet", name.as_str()).into();
                return Err(error);
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

fn allowed(policy: TargetPolicy, found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    found.filter(|address| policy.allows(address.ip())).take(ADDRESSES_MAX).collect()
}

/// Makes the client that delivers: no proxy, no redirects, no address that the policy does not allow.
pub(super) fn client(policy: TargetPolicy, timeout: std::time::Duration) -> Result<reqwest::Client, NotifyError> {
    reqwest::Client::builder()
        .dns_resolver(Arc::new(GuardedResolver { policy }))
        .https_only(!policy.allow_http)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(timeout)
        .connect_timeout(timeout / 3)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("mcsp-webhooks/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(NotifyError::Client)
}

/// Returns whether an address is of the public internet, by the IANA special-purpose address registries (RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let is_special = match ip.octets() {
        // This network; private; loopback; the cloud's metadata and other link-local ones; private.
        [0 | 10 | 127, ..] | [169, 254, ..] | [192, 168, ..] => true,
        [172, second, ..] => (16..32).contains(&second),
        // Shared address space of carriers.
        [100, second, ..] => (64..128).contains(&second),
        // Protocol assignments; documentation; 6to4 relays; benchmarks.
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => true,
        // Multicast; reserved; broadcast.
        [first, ..] => first >= 224,
    };
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // Protocol assignments, Teredo among them; documentation; 6to4, which wraps any IPv4 address.
        [0x2001, second, ..] => second > 0x01ff && second != 0x0db8,
        [0x2002, ..] => false,
        [0x3fff, second, ..] => second > 0x0fff,
        // Global unicast. All else is local, multicast, or a translation of IPv4 (64:ff9b::/96).
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        let inside = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ];
        for text in inside {
            assert!(!is_public(text.parse().unwrap()), "{text} was taken for public");
        }
        for text in ["1.1.1.1", "100.63.0.1", "172.15.0.1", "172.32.0.1", "223.255.255.1", "2606:4700::1111", "2a00::1"]
        {
            assert!(is_public(text.parse().unwrap()), "{text} was not taken for public");
        }
    }

    #[test]
    fn an_address_is_https_to_somebody_else() {
        let why = |policy: TargetPolicy, text: &str| policy.check(text).err().map(|error| error.to_string());
        let strict = TargetPolicy::default();
        for text in ["https://example.com/hook?x=1", "https://a-1.execute-api.eu-west-1.example.com:8443/p/%20;x?y=/"] {
            assert_eq!(why(strict, text), None);
        }
        for text in [
            "https://example.com*/",
            "https://example.com/#x",
            "https://1.1.1.1/",
            "https://example/",
            "https://a.b/é",
            "https://a.b/%2",
        ] {
            assert!(why(strict, text).unwrap().contains("is not https:// with a name"), "{text}");
        }
        assert_eq!(why(strict, "http://example.com/").unwrap(), "webhook address does not begin with https://");
        for text in ["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "https://0x7f.1/", "https://10.1/"]
        {
            assert_eq!(why(strict, text).unwrap(), "webhook address is not of the public internet", "{text}");
        }
        assert!(why(strict, "https://user:pass@example.com/").unwrap().ends_with("holds a name or a password"));
        for text in ["", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://"] {
            assert!(why(strict, text).is_some(), "{text:?} was taken");
        }
        assert!(why(strict, &format!("https://example.com/{}", "x".repeat(URL_CHARS_MAX))).is_some());
        let open = TargetPolicy { allow_http: true, allow_private: true };
        assert_eq!(why(open, "http://127.0.0.1:80/"), None);
    }

    #[test]
    fn of_a_names_addresses_the_private_ones_are_left_out() {
        let found = ["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"].map(|text| text.parse().unwrap());
        assert_eq!(allowed(TargetPolicy::default(), found.into_iter()), ["1.1.1.1:0".parse().unwrap()]);
        assert_eq!(
            allowed(TargetPolicy { allow_private: true, ..TargetPolicy::default() }, found.into_iter()).len(),
            3
        );
    }

    #[tokio::test]
    async fn a_name_of_this_machine_resolves_to_nothing() {
        let resolver = GuardedResolver { policy: TargetPolicy::default() };
        let error = resolver.resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert_eq!(error.to_string(), "localhost resolves to no address of the public internet");
    }
}
