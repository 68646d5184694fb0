//! What the desk's services are told: accounts, uploads, moderation, webhooks, sagas.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::engines::{Places, SagasEngine};
use super::resolve::Check;
use super::settings::{Reach, Settings, Upload};

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// The desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Desk {
    /// Requests a minute from one network address without an account.
    pub(crate) anonymous_per_min: u32,
    /// Requests a minute of one account.
    pub(crate) signed_in_per_min: u32,
    /// Reverse proxies, whose `X-Forwarded-For` is believed.
    pub(crate) proxies: Vec<IpAddr>,
    /// The administrator's address, where there is one.
    pub(crate) admin_email: Option<String>,
    /// The largest upload.
    pub(crate) upload_bytes_max: u64,
    /// The longest upload.
    pub(crate) upload_duration_max: Duration,
    /// How long an upload may take.
    pub(crate) upload_session: Duration,
    /// Uploads that one user may have open.
    pub(crate) uploads_open_max: u32,
    /// The file of the residency policy.
    pub(crate) residency: Option<PathBuf>,
    /// The file of the words that moderation looks for.
    pub(crate) words: Option<PathBuf>,
    /// Whether webhooks may go to private addresses.
    pub(crate) private_webhooks: bool,
    /// The engine of the sagas.
    pub(crate) sagas: SagasEngine,
}

/// Returns the bytes of the largest upload where nothing else is configured.
pub(crate) fn upload_bytes_max_default() -> u64 {
    u64::from(Upload::default().size_mib_max) * MIB
}

impl Check<'_> {
    /// Reads the tables of the desk.
    pub(super) fn desk(&mut self, settings: &Settings, places: &Places<'_>) -> Option<Desk> {
        let (identity, upload) = (&settings.identity, &settings.upload);
        let email = identity.admin_email.as_str();
        if !email.is_empty() && email.split_once('@').is_none_or(|(name, host)| name.is_empty() || host.is_empty()) {
            self.fault(&["identity", "admin_email"], email, "an address such as admin@example.org wanted");
        }
        let proxies = self.proxies(&settings.http.proxies);
        let residency = self.file(&["upload", "residency"], &upload.residency);
        let words = self.file(&["moderation", "words"], &settings.moderation.words);
        let hours = |hours: u32| Duration::from_secs(u64::from(hours) * 3600);
        let sagas = self.url(&["sagas", "url"], &settings.sagas.url, |url| places.sagas(url));
        Some(Desk {
            anonymous_per_min: settings.http.anonymous_per_min,
            signed_in_per_min: settings.http.signed_in_per_min,
            proxies,
            admin_email: (!email.is_empty()).then(|| email.to_owned()),
            upload_bytes_max: u64::from(upload.size_mib_max) * MIB,
            upload_duration_max: hours(upload.duration_h_max),
            upload_session: hours(upload.session_h),
            uploads_open_max: upload.open_max,
            residency,
            words,
            private_webhooks: settings.webhooks.reach == Reach::Private,
            sagas: sagas?,
        })
    }

    fn proxies(&mut self, proxies: &[String]) -> Vec<IpAddr> {
        let mut read = Vec::new();
        for proxy in proxies {
            match proxy.parse() {
                Ok(address) => read.push(address),
                Err(_) => self.fault(&["http", "proxies"], proxy, "an address such as 10.0.0.7 wanted"),
            }
        }
        read
    }

    pub(super) fn file(&mut self, path: &[&str], file: &str) -> Option<PathBuf> {
        let found = Some(PathBuf::from(file)).filter(|_| !file.is_empty())?;
        if !found.is_file() {
            self.fault(path, file, "there is no such file");
        }
        Some(found)
    }
}
