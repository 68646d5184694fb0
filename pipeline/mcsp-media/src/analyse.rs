//! Reading a source once: where its pictures stand in time, where it can be entered, and every sample of its audio.

use mcsp_child::FromChild;
use mcsp_domain::{Analysis, AudioAnalysis, VideoAnalysis};

use crate::error::MediaError;
use crate::ffmpeg::{Demuxer, Packet, SourceTracks};
use crate::parent::Parent;
use crate::reader::Input;
use crate::scan_audio::AudioScan;
use crate::scan_video::VideoScan;

/// Reads everything.
pub(crate) fn analyse(
    parent: &Parent,
    input: &Input,
    mut demuxer: Demuxer,
    tracks: &SourceTracks,
) -> Result<Analysis, MediaError> {
    let probe = &tracks.probe;
    let mut video = match probe.video.as_ref().zip(tracks.video_clock) {
        Some((track, clock)) => Some(VideoScan::open(&demuxer, track, clock, &input.limits)?),
        None => None,
    };
    let mut audio = match probe.audio.as_ref().zip(tracks.audio_clock) {
        Some((track, clock)) => Some(AudioScan::open(&demuxer, track, clock, &input.limits)?),
        None => None,
    };
    let kept =
        [probe.video.as_ref().map(|track| track.stream_index), probe.audio.as_ref().map(|track| track.stream_index)];
    demuxer.keep_only(&kept.into_iter().flatten().collect::<Vec<_>>());
    let mut packet = Packet::new()?;
    let mut progress = Progress::new(parent);
    while demuxer.read(&mut packet)? {
        match (&mut video, &mut audio) {
            (Some(video), _) if video.stream_index() == packet.stream_index() => video.take(&packet)?,
            (_, Some(audio)) if audio.stream_index() == packet.stream_index() => audio.take(&packet)?,
            _ => {}
        }
        progress.tell(demuxer.position_bytes(), demuxer.len_bytes())?;
    }
    drop(demuxer);
    let video = video.map(|scan| scan.finish(input)).transpose()?.flatten();
    let audio = audio.map(AudioScan::finish).transpose()?.flatten();
    check_duration(tracks, video.as_ref(), audio.as_ref(), input.limits.duration_seconds)?;
    if video.is_none() && audio.is_none() {
        return Err(MediaError::Corrupt("source holds no packet of video or audio".into()));
    }
    Ok(Analysis { video, audio })
}

fn check_duration(
    tracks: &SourceTracks,
    video: Option<&VideoAnalysis>,
    audio: Option<&AudioAnalysis>,
    seconds_max: u64,
) -> Result<(), MediaError> {
    let video = video.zip(tracks.probe.video.as_ref());
    let video_s =
        video.map_or(0, |(video, track)| (video.end_pts - video.zero_pts) / i64::from(track.timescale.max(1)));
    let audio = audio.zip(tracks.probe.audio.as_ref());
    let audio_s = audio
        .map_or(0, |(audio, track)| (audio.end_sample - audio.first_sample) / i64::from(track.sample_rate_hz.max(1)));
    let seconds = u64::try_from(video_s.max(audio_s)).unwrap_or(0);
    if seconds > seconds_max {
        return Err(MediaError::Limit(format!("source lasts {seconds} s, {seconds_max} s allowed")));
    }
    Ok(())
}

/// Tells the parent how far the reading is, a hundred times at most.
pub(crate) struct Progress<'a> {
    parent: &'a Parent,
    permille: u64,
}

impl<'a> Progress<'a> {
    /// Returns a teller that has told nothing.
    pub(crate) fn new(parent: &'a Parent) -> Self {
        Self { parent, permille: 0 }
    }

    /// Tells the place in the file, when it has moved a hundredth.
    pub(crate) fn tell(&mut self, position_bytes: u64, len_bytes: u64) -> Result<(), MediaError> {
        let permille = position_bytes.saturating_mul(1000) / len_bytes.max(1);
        if permille < self.permille + 10 {
            return Ok(());
        }
        self.permille = permille.min(1000);
        self.parent.send(&FromChild::Progress { permille: u16::try_from(self.permille).unwrap_or(1000) })
    }
}
