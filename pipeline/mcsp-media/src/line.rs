//! The straight line of each kind of work: source → demux → decode once → encode every variant → parent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mcsp_child::{FromChild, Job, TranscodeJob, Work};

use crate::analyse::analyse;
use crate::attempt::attempt;
use crate::container::Container;
use crate::error::{MediaError, first_failure};
use crate::ffmpeg::{Demuxer, SourceTracks};
use crate::parent::Parent;
use crate::reader::Input;
use crate::scan_video::{interlaced, refuse_hdr};
use crate::source::Source;
use crate::{audio, taps, video};

/// Does a job's work and tells the parent everything but the last word.
pub(crate) fn run(job: &Job, parent: &Arc<Parent>) -> Result<(), MediaError> {
    match &job.work {
        Work::Attempt { act } => parent.send(&FromChild::Outcome(attempt(*act))),
        Work::Probe => look(job, parent).map(|_| ()),
        Work::Scan => unreachable!("a scan is made ready before confinement and run by itself"),
        Work::Analyse => {
            let (input, demuxer, tracks) = look(job, parent)?;
            refuse(&tracks)?;
            let analysis = analyse(parent, &input, demuxer, &tracks)?;
            parent.send(&FromChild::Analysis(Box::new(analysis)))
        }
        Work::Taps { video, audio } => {
            let (input, demuxer, tracks) = look(job, parent)?;
            taps::run(parent, &input, demuxer, &tracks, video.as_ref(), audio.as_ref())
        }
        Work::Transcode(work) => transcode(&open(job, parent)?, parent, work),
    }
}

fn open(job: &Job, parent: &Arc<Parent>) -> Result<Input, MediaError> {
    let source = Source::new(job.source, Arc::clone(parent));
    let container = Container::of(&mut source.reader())?;
    Ok(Input { source, container, limits: job.limits })
}

/// Checks a source's structure, reads its headers and tells the parent what it is.
fn look(job: &Job, parent: &Arc<Parent>) -> Result<(Input, Demuxer, SourceTracks), MediaError> {
    let input = open(job, parent)?;
    input.container.check_structure(&mut input.source.reader())?;
    let demuxer = Demuxer::open(&input.source, input.container, &input.limits)?;
    let tracks = SourceTracks::of(&demuxer)?;
    parent.send(&FromChild::Probe(Box::new(tracks.probe.clone())))?;
    Ok((input, demuxer, tracks))
}

/// Refuses by name what would come out wrong.
fn refuse(tracks: &SourceTracks) -> Result<(), MediaError> {
    if let Some(order) = tracks.field_order {
        return Err(interlaced(order));
    }
    tracks.probe.video.as_ref().map_or(Ok(()), |track| refuse_hdr(track.colour))
}

/// Runs the video and the audio line side by side; each has its own reader of the source.
fn transcode(input: &Input, parent: &Parent, work: &TranscodeJob) -> Result<(), MediaError> {
    let stop = AtomicBool::new(false);
    let stopping = |outcome: Result<(), MediaError>| outcome.inspect_err(|_| stop.store(true, Ordering::Relaxed));
    let outcomes = thread::scope(|scope| {
        let audio = work.audio.as_ref().map(|job| scope.spawn(|| stopping(audio::run(parent, input, &stop, job))));
        let video = work.video.as_ref().map(|job| stopping(video::run(parent, input, &stop, work.grid, job)));
        let audio = audio.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        [video, audio]
    });
    first_failure(outcomes.into_iter().flatten())
}
