//! The confined child: it reads hostile media, decodes it once and answers with access units. The only program of the
//! platform that links FFmpeg. In: one job on standard input, then answers to its reads; standard output carries its
//! messages, descriptor 3 the source where the job says so.
#![allow(unsafe_code, reason = "FFmpeg and the confinement are C; each block says why it is sound")]

mod analyse;
mod attempt;
mod audio;
mod boxes;
mod clock;
mod confine;
mod container;
mod ebml;
mod error;
mod ffmpeg;
mod line;
mod parent;
mod reader;
mod scan;
mod scan_audio;
mod scan_video;
mod source;
mod taps;
mod video;

use std::process::ExitCode;
use std::sync::Arc;

use mcsp_child::{Failure, FailureKind, FromChild, Hello, Job, ToChild, Work};

use crate::error::MediaError;
use crate::parent::Parent;
use crate::scan::Scan;
use crate::source::Source;

fn main() -> ExitCode {
    let mut parent = Parent::on_standard_pipes();
    let job = match parent.receive() {
        Ok(ToChild::Job(job)) => job,
        Ok(_) => return refuse(&parent, FailureKind::Internal, "the first message is no job".into()),
        Err(error) => {
            eprintln!("no job came: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(traceparent) = &job.traceparent {
        // What is printed after this line, by a library too, belongs to this trace; the parent logs it.
        eprintln!("traceparent {traceparent}");
    }
    let (engine, scan) = match warm_up(&job.work) {
        // Our own version stands first: encoders change their bytes, and so may we.
        Ok((engine, scan)) => (format!("mcsp-media {} {engine}", env!("CARGO_PKG_VERSION")), scan),
        Err(error) => return refuse(&parent, FailureKind::Internal, error.to_string()),
    };
    let layers = match confine::confine(&job) {
        Ok(layers) => layers,
        Err(message) => return refuse(&parent, FailureKind::Confinement, message),
    };
    parent.limit_output(job.limits.output_bytes);
    let parent = Arc::new(parent);
    match work(&job, &parent, Hello { engine, layers }, scan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let failure = error.failure();
            refuse(&parent, failure.kind, failure.message)
        }
    }
}

/// Does what must be done before confinement: FFmpeg's once-only work, or for a scan, which needs none of FFmpeg, the rules.
fn warm_up(work: &Work) -> Result<(String, Option<Scan>), MediaError> {
    match work {
        Work::Scan => Scan::prepare().map(|(engine, scan)| (engine, Some(scan))),
        _ => ffmpeg::warm_up().map(|engine| (engine, None)),
    }
}

/// Says hello, does the work and says that it is done.
fn work(job: &Job, parent: &Arc<Parent>, hello: Hello, scan: Option<Scan>) -> Result<(), MediaError> {
    parent.send(&FromChild::Hello(hello))?;
    match scan {
        Some(scan) => scan.run(&Source::new(job.source, Arc::clone(parent)), parent)?,
        None => line::run(job, parent)?,
    }
    parent.send(&FromChild::Done)
}

/// Says why the job failed; a parent that is gone hears nothing.
fn refuse(parent: &Parent, kind: FailureKind, message: String) -> ExitCode {
    if parent.send(&FromChild::Failed(Failure { kind, message })).is_err() {
        eprintln!("the parent is gone");
    }
    ExitCode::FAILURE
}
