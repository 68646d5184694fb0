//! The figures of a process: their names, units and labels in one table, and the registry that Prometheus reads. They are
//! recorded with the macros of `metrics` under the names below and cost next to nothing where nothing is installed.

use std::sync::LazyLock;

use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::TelemetryError;

/// Records that a handler looked at, by `stage` and `outcome`.
pub const STAGE_RECORDS: &str = "mcsp_stage_records_total";
/// Records that were given up and lie in `dead.<group>`, by `stage`.
pub const STAGE_DEAD: &str = "mcsp_stage_dead_total";
/// Time that a handler took, by `stage`.
pub const STAGE_HANDLE_SECONDS: &str = "mcsp_stage_handle_seconds";
/// Time from a record's receipt to its completion without its handler's, by `stage`.
pub const STAGE_OVERHEAD_SECONDS: &str = "mcsp_stage_overhead_seconds";
/// Records that a group has not completed, by `group` and `topic`.
pub const LAG_RECORDS: &str = "mcsp_lag_records";
/// Age of the oldest of them, by `group` and `topic`.
pub const LAG_SECONDS: &str = "mcsp_lag_seconds";
/// Slots of this process that have work, by `stage`.
pub const SLOTS_BUSY: &str = "mcsp_slots_busy";
/// Events that the catalogue's outbox holds and the log does not.
pub const OUTBOX_MESSAGES: &str = "mcsp_outbox_messages";
/// Events that the relay brought to the log.
pub const OUTBOX_RELAYED: &str = "mcsp_outbox_relayed_total";
/// Turns of the relay that failed.
pub const OUTBOX_FAILURES: &str = "mcsp_outbox_failures_total";

/// How a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is a distribution, counted in buckets.
    Histogram,
}

/// What is declared of a figure.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, meaning }
}

/// Every figure.
pub const ALL: &[Metric] = &[
    metric(STAGE_RECORDS, Kind::Counter, Unit::Count, &["stage", "outcome"], "Records that a handler looked at"),
    metric(STAGE_DEAD, Kind::Counter, Unit::Count, &["stage"], "Records given up"),
    metric(STAGE_HANDLE_SECONDS, Kind::Histogram, Unit::Seconds, &["stage"], "Time that a handler took"),
    metric(STAGE_OVERHEAD_SECONDS, Kind::Histogram, Unit::Seconds, &["stage"], "Time of a record beside its handler's"),
    metric(LAG_RECORDS, Kind::Gauge, Unit::Count, &["group", "topic"], "Records that a group has not completed"),
    metric(LAG_SECONDS, Kind::Gauge, Unit::Seconds, &["group", "topic"], "Age of the oldest record not completed"),
    metric(SLOTS_BUSY, Kind::Gauge, Unit::Count, &["stage"], "Slots that have work"),
    metric(OUTBOX_MESSAGES, Kind::Gauge, Unit::Count, &[], "Events of the outbox that the log does not have"),
    metric(OUTBOX_RELAYED, Kind::Counter, Unit::Count, &[], "Events that the relay brought to the log"),
    metric(OUTBOX_FAILURES, Kind::Counter, Unit::Count, &[], "Turns of the relay that failed"),
];

/// Bounds of the buckets of every time: from a tenth of a millisecond (a record in a batch) to an hour (a long chunk).
const SECONDS_BUCKETS: [f64; 20] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
    600.0, 1800.0, 3600.0,
];

/// What a process has counted.
#[derive(Clone, Debug)]
pub struct Handle {
    registry: PrometheusHandle,
}

impl Handle {
    /// Returns every figure in Prometheus' text format, version 0.0.4.
    pub fn render(&self) -> String {
        self.registry.render()
    }

    /// Sorts what was measured into its buckets. `render` does so too; where nobody reads the figures, call this every
    /// few seconds, or each measurement stays in memory.
    pub fn upkeep(&self) {
        self.registry.run_upkeep();
    }
}

/// The process's registry: `metrics` has one a process.
static REGISTRY: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new().set_buckets(&SECONDS_BUCKETS).ok()?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    ALL.iter().for_each(describe);
    Some(handle)
});

/// Installs the registry of this process; later calls return the same one. Starts no thread and opens no port.
///
/// # Errors
/// When something else had installed a registry.
pub fn install() -> Result<Handle, TelemetryError> {
    let registry = REGISTRY.clone().ok_or(TelemetryError::Started { what: "metrics" })?;
    Ok(Handle { registry })
}

fn describe(metric: &Metric) {
    let Metric { name, kind, unit, meaning, .. } = *metric;
    match kind {
        Kind::Counter => metrics::describe_counter!(name, unit, meaning),
        Kind::Gauge => metrics::describe_gauge!(name, unit, meaning),
        Kind::Histogram => metrics::describe_histogram!(name, unit, meaning),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a figure a value, with a label of each declared name.
    fn touch(metric: &Metric) {
        let labels: Vec<metrics::Label> = metric.labels.iter().map(|name| metrics::Label::new(*name, "x")).collect();
        match metric.kind {
            Kind::Counter => metrics::counter!(metric.name, labels).increment(1),
            Kind::Gauge => metrics::gauge!(metric.name, labels).set(2.0),
            Kind::Histogram => metrics::histogram!(metric.name, labels).record(0.003),
        }
    }

    #[test]
    fn every_figure_is_described_and_read() {
        let handle = install().unwrap();
        ALL.iter().for_each(touch);
        handle.upkeep();
        let text = handle.render();
        for metric in ALL {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.meaning)), "{}\n{text}", metric.name);
            assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}\n{text}", metric.name);
        }
        assert!(text.contains("mcsp_stage_handle_seconds_bucket{stage=\"x\",le=\"0.005\"}"), "{text}");
        assert!(text.contains("mcsp_lag_records{group=\"x\",topic=\"x\"} 2"), "{text}");
        assert!(install().is_ok(), "a second call gives the same registry");
    }

    #[test]
    fn names_end_in_their_unit() {
        for metric in ALL {
            assert!(metric.name.starts_with("mcsp_"), "{}", metric.name);
            assert_eq!(metric.unit == Unit::Seconds, metric.name.ends_with("_seconds"), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        }
    }
}
