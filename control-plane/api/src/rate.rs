//! Rate limits: a bucket per account or network address, told by `RateLimit` and `RateLimit-Policy`
//! (draft-ietf-httpapi-ratelimit-headers-10), refused with 429 and `Retry-After`.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::Problem;

/// Callers whose buckets are held at once; those who come when there are more share one.
const CALLERS_MAX: usize = 100_000;
/// After so many requests, full buckets are forgotten.
const FORGET_EVERY: u64 = 4096;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// So many requests in a window. The bucket refills evenly over the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests; 0 counts as 1.
    pub count: u32,
    /// The window, in seconds; 0 counts as 1.
    pub window_s: u32,
}

/// The buckets of one policy.
pub(crate) struct Buckets {
    name: &'static str,
    rate: Rate,
    limiter: RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>,
    requests: AtomicU64,
}

/// What is left after a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    name: &'static str,
    rate: Rate,
    remaining: u32,
    /// Seconds until the bucket is full.
    reset_s: u64,
}

impl Buckets {
    pub(crate) fn new(name: &'static str, rate: Rate) -> Self {
        let rate = Rate { count: rate.count.max(1), window_s: rate.window_s.max(1) };
        let burst = NonZeroU32::new(rate.count).unwrap_or(NonZeroU32::MIN);
        let period = Duration::from_secs(rate.window_s.into()) / rate.count;
        // A period of less than a nanosecond is none.
        let quota = Quota::with_period(period.max(Duration::from_nanos(1))).map(|quota| quota.allow_burst(burst));
        let quota = quota.unwrap_or(Quota::per_second(burst));
        let limiter = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
        Self { name, rate, limiter, requests: AtomicU64::new(0) }
    }

    /// Takes one request out of a caller's bucket; an empty one is a refusal.
    pub(crate) fn take(&self, caller: &str) -> (Left, Option<Problem>) {
        if self.requests.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let caller = if self.limiter.len() < CALLERS_MAX { caller } else { "everybody else" };
        match self.limiter.check_key(&caller.to_owned()) {
            Ok(state) => (self.left(state.remaining_burst_capacity()), None),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                let wait_s = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
                let Rate { count, window_s } = self.rate;
                let detail = format!("more than {count} requests in {window_s} s");
                (self.left(0), Some(Problem::too_often("too-many-requests", detail, wait_s)))
            }
        }
    }

    fn left(&self, remaining: u32) -> Left {
        let missing = u64::from(self.rate.count.saturating_sub(remaining));
        let reset_s = (missing * u64::from(self.rate.window_s)).div_ceil(u64::from(self.rate.count));
        Left { name: self.name, rate: self.rate, remaining, reset_s }
    }
}

impl Left {
    /// Writes the two headers.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Self { name, rate, remaining, reset_s } = self;
        let policy = format!("\"{name}\";q={};w={}", rate.count, rate.window_s);
        let limit = format!("\"{name}\";r={remaining};t={reset_s}");
        for (header, text) in [(POLICY, policy), (LIMIT, limit)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(header, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_counted_down_and_refuses_when_it_is_empty() {
        let buckets = Buckets::new("user", Rate { count: 3, window_s: 3600 });
        for remaining in [2, 1, 0] {
            let (left, refusal) = buckets.take("ada");
            assert!(refusal.is_none());
            assert_eq!((left.remaining, left.reset_s), (remaining, u64::from(3 - remaining) * 1200));
        }
        let (left, refusal) = buckets.take("ada");
        assert!(refusal.is_some() && left.remaining == 0);
        assert!(buckets.take("bob").1.is_none(), "another caller has a bucket of his own");
        let mut headers = HeaderMap::new();
        left.tell(&mut headers);
        assert_eq!(headers[POLICY], "\"user\";q=3;w=3600");
        assert_eq!(headers[LIMIT], "\"user\";r=0;t=3600");
    }

    #[test]
    fn odd_rates_work() {
        for rate in [Rate { count: 0, window_s: 0 }, Rate { count: u32::MAX, window_s: 1 }] {
            assert!(Buckets::new("odd", rate).take("ada").1.is_none());
        }
    }
}
