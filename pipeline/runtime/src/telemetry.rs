//! Logs: lines on stderr, filtered by `MCSP_LOG` (`warn` by default), never on stdout, which belongs to data.

use tracing_subscriber::EnvFilter;

/// Starts logging for this process. A second call does nothing.
pub fn start() {
    let filter = EnvFilter::try_from_env("MCSP_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time();
    // A test binary may have started it already: that one stays.
    let _ = subscriber.try_init();
}
