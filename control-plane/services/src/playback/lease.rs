//! Addresses that work for a while: what an edge lease is made of, and when a playback gets a new one.

use mcsp_domain::{Bucket, ContentId, ObjectKey, PlanId, PlaybackId, Revision};
use mcsp_token::{EdgeLease, HmacKeys};

/// How long manifests are given, in seconds.
const MANIFEST_S: i64 = 3600;
/// What a viewer may pause beside half of the film's length, in seconds.
const PAUSE_S: i64 = 600;

/// The package that a playback reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) content: ContentId,
    pub(super) revision: Revision,
    pub(super) plan: PlanId,
    pub(super) bucket: Bucket,
    pub(super) folder: ObjectKey,
    /// The manifests, as they are named inside the folder.
    pub(super) hls: ObjectKey,
    pub(super) dash: ObjectKey,
    /// Its length; one that is still being made has none.
    pub(super) duration_ms: Option<u64>,
    /// Whether it is known to be protected, or to be clear; one that is still being made does not tell.
    pub(super) is_protected: Option<bool>,
}

/// Where a player finds a package, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The folder of the package, with a slash at its end: every other address begins with it.
    pub media_url: String,
    /// The HLS multivariant playlist.
    pub hls_url: String,
    /// The DASH manifest.
    pub dash_url: String,
    /// Until when manifests are given, microseconds since 1970.
    pub manifest_expires_us: i64,
    /// Until when everything else is given, microseconds since 1970.
    pub media_expires_us: i64,
    /// From when on a heartbeat is answered with newer addresses, microseconds since 1970.
    pub renew_us: i64,
}

impl Package {
    /// Leases the package to a playback: manifests for an hour, media for half as long again as the film and ten minutes.
    /// A film whose length nobody knows yet is leased for an hour.
    pub(super) fn lease(&self, playback: PlaybackId, keys: &HmacKeys, edge_url: &str, now_us: i64) -> Addresses {
        let now_s = now_us.div_euclid(1_000_000);
        let media_s = self.duration_ms.map_or(MANIFEST_S, |duration_ms| {
            let half_again_s = duration_ms.saturating_mul(3).div_ceil(2000);
            i64::try_from(half_again_s).unwrap_or(i64::MAX / 4_000_000).min(i64::MAX / 4_000_000) + PAUSE_S
        });
        let lease = EdgeLease {
            content: self.content,
            revision: self.revision,
            folder: self.folder.clone(),
            bucket: self.bucket.clone(),
            playback,
            manifest_exp_s: now_s + MANIFEST_S,
            media_exp_s: now_s + media_s,
        };
        let token = lease.mint(keys);
        let media_url = format!("{}/t/{token}/", edge_url.trim_end_matches('/'));
        Addresses {
            hls_url: format!("{media_url}{}", self.hls),
            dash_url: format!("{media_url}{}", self.dash),
            media_url,
            manifest_expires_us: lease.manifest_exp_s * 1_000_000,
            media_expires_us: lease.media_exp_s * 1_000_000,
            // With half of it left, some lost heartbeats do no harm.
            renew_us: now_us + media_s.min(MANIFEST_S) * 500_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use mcsp_token::HmacKey;

    use super::*;

    fn package(duration_ms: Option<u64>) -> Package {
        let (content, plan) = (ContentId::from_bytes([1; 16]), PlanId::from_bytes([2; 16]));
        Package {
            content,
            revision: Revision::FIRST,
            plan,
            bucket: Bucket::parse("media").unwrap(),
            folder: ObjectKey::package(content, Revision::FIRST, plan),
            hls: ObjectKey::multivariant_playlist(),
            dash: ObjectKey::mpd(),
            duration_ms,
            is_protected: Some(true),
        }
    }

    #[test]
    fn a_lease_lasts_for_the_film_and_its_pauses() {
        let keys = HmacKeys::new(HmacKey::new("k1", [1; 32]).unwrap(), Vec::new()).unwrap();
        let playback = PlaybackId::from_bytes([3; 16]);
        for (duration_ms, media_s, renew_s) in [
            (Some(7_200_000), 10_800 + 600, 1800),
            (Some(10_001), 16 + 600, 308),
            (None, 3600, 1800),
            (Some(u64::MAX), i64::MAX / 4_000_000 + 600, 1800),
        ] {
            let addresses = package(duration_ms).lease(playback, &keys, "https://edge.example/", 0);
            assert_eq!(addresses.manifest_expires_us, 3600 * 1_000_000);
            assert_eq!(addresses.media_expires_us, media_s * 1_000_000, "{duration_ms:?}");
            assert_eq!(addresses.renew_us, renew_s * 1_000_000, "{duration_ms:?}");
            let path = addresses.hls_url.strip_prefix("https://edge.example/t/").unwrap();
            let (token, file) = path.split_once('/').unwrap();
            assert_eq!(file, "master.m3u8");
            let lease = EdgeLease::verify(&keys, token, 0).unwrap();
            assert_eq!((lease.playback, &lease.folder), (playback, &package(None).folder));
            assert_eq!(addresses.dash_url, format!("https://edge.example/t/{token}/manifest.mpd"));
        }
    }
}
