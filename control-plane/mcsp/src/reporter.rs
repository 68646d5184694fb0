//! What a run tells while it works: JSON events on stdout, or progress bars on stderr.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcsp_domain::Plan;
use mcsp_stages::Progress;
use serde_json::{Value, json};

/// Thousandths of a second: the unit of bar positions.
const BAR_UNITS_PER_SECOND: f64 = 1000.0;

/// A run's voice. Shared by reference; its methods never block for long.
pub(crate) struct Reporter {
    json: bool,
    bars: MultiProgress,
    by_name: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Reporter {
    /// Returns a reporter: `json` prints events on stdout and draws no bars. Bars are drawn on terminals only.
    pub(crate) fn new(json: bool) -> Self {
        let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
        Self { json, bars: MultiProgress::with_draw_target(target), by_name: Mutex::default() }
    }

    /// Tells one event.
    pub(crate) fn event(&self, name: &str, fields: Value) {
        if !self.json {
            return;
        }
        let mut event = json!({ "event": name });
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        // A reader who closed the pipe has no wish to hear more; the run goes on.
        let _ = writeln!(std::io::stdout().lock(), "{event}");
    }

    /// Prints a line for people on stderr, between the bars.
    pub(crate) fn line(&self, text: &str) {
        if !self.json {
            self.bars.suspend(|| {
                let _ = writeln!(std::io::stderr(), "{text}");
            });
        }
    }

    /// Tells a stage's progress.
    pub(crate) fn progress(&self, progress: Progress<'_>) {
        match progress {
            Progress::Analysed { permille } => {
                self.event("analysed", json!({ "permille": permille }));
                self.bar("analysis", 1000, "{prefix:>14} {bar:30} {percent:>3} %").set_position(permille.into());
            }
            Progress::Encoded { rendition, seconds, frames } => {
                self.event("encoded", json!({ "rendition": rendition, "seconds": seconds, "chunk_frames": frames }));
                let bars = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(bar) = bars.get(rendition.as_str()) {
                    bar.set_position(units(seconds));
                }
            }
            Progress::Packaged { done, total } => {
                self.event("packaged", json!({ "segments": done, "of": total }));
                let bar = self.bar("segments", total as u64, "{prefix:>14} {bar:30} {pos}/{len}");
                bar.set_position(done as u64);
            }
        }
    }

    /// Shows one bar a variant, with speed in multiples of play time and the time that is left.
    pub(crate) fn begin_encoding(&self, plan: &Plan, seconds_done: f64) {
        self.clear();
        let total = units(plan.duration_s());
        for variant in plan.ladder.variants() {
            let bar =
                self.bar(variant.name().as_str(), total, "{prefix:>14} {bar:30} {percent:>3} % {speed:>7} ETA {eta}");
            bar.set_position(units(seconds_done));
            bar.reset_eta();
        }
    }

    /// Takes all bars away.
    pub(crate) fn clear(&self) {
        let mut bars = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in bars.values() {
            bar.finish_and_clear();
        }
        bars.clear();
    }

    fn bar(&self, name: &str, length: u64, template: &str) -> ProgressBar {
        let mut bars = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let style = style.with_key("speed", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.2}x", state.per_sec() / BAR_UNITS_PER_SECOND);
            });
            let bar = self.bars.add(ProgressBar::new(length).with_style(style).with_prefix(name.to_owned()));
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        };
        bars.entry(name.to_owned()).or_insert_with(make).clone()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a day")]
fn units(seconds: f64) -> u64 {
    (seconds.clamp(0.0, 86_400.0) * BAR_UNITS_PER_SECOND) as u64
}
