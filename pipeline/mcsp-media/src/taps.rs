//! Taps: one pass over a source that decodes as little as it may. In: an open source and what is wanted of it. Out: small
//! pictures, cells of dense stretches, sound at one rate and stills, as messages to the parent.

mod pictures;
mod sound;
mod stills;
mod turn;

use mcsp_child::{AudioTaps, FromChild, TapsEnd, VideoTaps};
use mcsp_domain::{Round, rescale};

use crate::analyse::Progress;
use crate::error::MediaError;
use crate::ffmpeg::{Demuxer, Packet, SourceTracks};
use crate::parent::Parent;
use crate::reader::{Input, TrackReader};
use pictures::Pictures;
use sound::Sound;

/// Reads the source once and tells what was asked for; tracks that the source lacks give nothing.
pub(crate) fn run(
    parent: &Parent,
    input: &Input,
    mut demuxer: Demuxer,
    tracks: &SourceTracks,
    video: Option<&VideoTaps>,
    audio: Option<&AudioTaps>,
) -> Result<(), MediaError> {
    let probe = &tracks.probe;
    let zero = Zero::of(input, tracks)?;
    let mut pictures = match video.zip(probe.video.as_ref()).zip(tracks.video_clock) {
        Some(((job, track), clock)) => {
            Some(Pictures::open(parent, input, &demuxer, (job, probe), (track, clock), zero)?)
        }
        None => None,
    };
    let mut sound = match audio.zip(probe.audio.as_ref()).zip(tracks.audio_clock) {
        Some(((job, track), clock)) => Some(Sound::open(parent, input, &demuxer, job, (track, clock), zero)?),
        None => None,
    };
    let kept = [pictures.as_ref().map(Pictures::stream_index), sound.as_ref().map(Sound::stream_index)];
    demuxer.keep_only(&kept.into_iter().flatten().collect::<Vec<_>>());
    let mut progress = Progress::new(parent);
    let mut packet = Packet::new()?;
    while demuxer.read(&mut packet)? {
        match (&mut pictures, &mut sound) {
            (Some(pictures), _) if pictures.stream_index() == packet.stream_index() => {
                pictures.take(std::mem::replace(&mut packet, Packet::new()?))?;
            }
            (_, Some(sound)) if sound.stream_index() == packet.stream_index() => sound.take(&packet)?,
            _ => {}
        }
        progress.tell(demuxer.position_bytes(), demuxer.len_bytes())?;
        if pictures.as_ref().is_none_or(Pictures::is_over) && sound.as_ref().is_none_or(Sound::is_over) {
            break;
        }
    }
    let mut end = TapsEnd::default();
    if let Some(pictures) = pictures {
        pictures.finish(&mut end)?;
    }
    if let Some(sound) = sound {
        sound.finish(&mut end)?;
    }
    parent.send(&FromChild::TapsEnd(end))
}

/// Where output time begins: the first displayed picture, or nowhere in particular without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Zero {
    /// Ticks and their timescale.
    video: Option<(i64, u32)>,
}

impl Zero {
    /// Decodes until the first picture comes out.
    fn of(input: &Input, tracks: &SourceTracks) -> Result<Self, MediaError> {
        let Some(track) = &tracks.probe.video else { return Ok(Self { video: None }) };
        let mut reader = TrackReader::open_video(input, track.stream_index)?;
        let Some(frame) = reader.next_after(None)? else {
            let (index, codec) = (track.stream_index, &track.codec);
            if tracks.probe.audio.is_some() {
                // The plan leaves such a track out as well.
                return Ok(Self { video: None });
            }
            return Err(MediaError::Corrupt(format!("no frame of stream {index} ({codec}) decodes")));
        };
        let ticks = frame.best_pts().map_or(0, |pts| reader.clock.ticks(pts));
        Ok(Self { video: Some((ticks, track.timescale)) })
    }

    /// Returns the place of output zero on an audio track's count of samples, where pictures tell it.
    fn sample(self, rate_hz: u32) -> Option<i64> {
        self.video.map(|(ticks, timescale)| rescale(ticks, timescale.into(), rate_hz.into(), Round::Nearest))
    }
}
