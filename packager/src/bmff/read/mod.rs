//! The bounded MP4 reader (ISO/IEC 14496-12). In: the bytes of a file, as hostile as they come. Out: columnar sample tables
//! of its H.264 and AAC tracks, progressive or fragmented. Memory stays within a small multiple of the file's length.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod cursor;
mod entry;
mod moof;
mod stbl;
mod table;
mod timeline;
mod trak;

pub use table::SampleTable;

use cursor::{BoxRef, Boxes};
use mcsp_domain::limits::MP4_TRACKS_MAX;
use moof::{Defaults, Extended};
use table::Budget;
use trak::TrackHeader;

use super::{BmffError, FourCc};
use crate::TrackConfig;

/// Boxes that a file may begin with.
const FIRST_BOXES: [&[u8; 4]; 14] = [
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"sidx", b"pdin",
    b"emsg", b"prft",
];

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movie {
    /// Its tracks of pictures and sound, in file order; at least one.
    pub tracks: Vec<Track>,
}

/// One track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// The track's id in this file.
    pub track_id: u32,
    /// What its sample entry and headers say.
    pub config: TrackConfig,
    /// Its samples; edits of video are applied.
    pub samples: SampleTable,
}

impl Movie {
    /// Reads the tables of a whole file; sample bytes are not touched.
    ///
    /// # Errors
    /// When a size, count or offset lies, a box is missing, a codec is not supported, or the input is encrypted already.
    pub fn parse(bytes: &[u8]) -> Result<Self, BmffError> {
        check_beginning(bytes)?;
        let (mut moov, mut moofs) = (None, Vec::new());
        for item in Boxes::of_file(bytes) {
            let item = item?;
            match &item.name.0 {
                b"moov" if moov.replace(item).is_some() => {
                    return Err(BmffError::Duplicate { parent: FourCc(*b"file"), name: item.name });
                }
                b"moof" => moofs.push(item),
                _ => {}
            }
        }
        let missing = BmffError::Missing { parent: FourCc(*b"file"), name: FourCc(*b"moov") };
        let moov = moov.ok_or(missing)?;
        let mut budget = Budget::new(bytes.len() as u64);
        let mut tracks = read_tracks(&moov, &mut budget)?;
        read_fragments(&moov, &moofs, &mut tracks, &mut budget)?;
        let finish = |(mut header, mut samples): (TrackHeader, SampleTable)| {
            timeline::lay(&mut samples, &mut header)?;
            Ok(Track { track_id: header.track_id, config: header.config, samples })
        };
        Ok(Self { tracks: tracks.into_iter().map(finish).collect::<Result<_, BmffError>>()? })
    }

    /// Returns the only track, as chunk objects and renditions have it.
    ///
    /// # Errors
    /// When there are several.
    pub fn into_single_track(self) -> Result<Track, BmffError> {
        let count = self.tracks.len();
        let several = || BmffError::invalid(*b"moov", format!("{count} tracks, a rendition has 1"));
        let [track] = <[Track; 1]>::try_from(self.tracks).map_err(|_| several())?;
        Ok(track)
    }
}

/// Says "no MP4 file" for text and other formats, whose first bytes would otherwise read as an absurd box.
fn check_beginning(bytes: &[u8]) -> Result<(), BmffError> {
    if bytes.is_empty() {
        return Err(BmffError::Empty);
    }
    let name = bytes.get(4..8).unwrap_or_default();
    if FIRST_BOXES.iter().any(|first| first.as_slice() == name) {
        return Ok(());
    }
    let mut begins = [0; 4];
    begins.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from);
    Err(BmffError::NotMp4 { begins: FourCc(begins) })
}

fn read_tracks<'a>(moov: &BoxRef<'a>, budget: &mut Budget) -> Result<Vec<(TrackHeader<'a>, SampleTable)>, BmffError> {
    let movie_timescale = trak::read_timescale(&moov.child(*b"mvhd")?)?;
    let mut tracks: Vec<(TrackHeader, SampleTable)> = Vec::new();
    for trak in moov.children() {
        let trak = trak?;
        if trak.name.0 != *b"trak" {
            continue;
        }
        let Some(header) = trak::read(&trak, movie_timescale)? else { continue };
        if tracks.iter().any(|(other, _)| other.track_id == header.track_id) {
            return Err(BmffError::invalid(*b"tkhd", format!("two tracks have id {}", header.track_id)));
        }
        if tracks.len() >= MP4_TRACKS_MAX {
            let (claimed, allowed) = (tracks.len() as u64, MP4_TRACKS_MAX as u64);
            return Err(BmffError::Limit { name: moov.name, what: "tracks and more", claimed, allowed });
        }
        let samples = stbl::read(&header.stbl, header.track_id, budget)?;
        tracks.push((header, samples));
    }
    if tracks.is_empty() {
        return Err(BmffError::invalid(*b"moov", "no track of pictures or sound"));
    }
    Ok(tracks)
}

fn read_fragments(
    moov: &BoxRef,
    moofs: &[BoxRef],
    tracks: &mut [(TrackHeader, SampleTable)],
    budget: &mut Budget,
) -> Result<(), BmffError> {
    if moofs.is_empty() {
        return Ok(());
    }
    let mut defaults = Vec::new();
    for child in moov.child(*b"mvex")?.children() {
        let child = child?;
        if child.name.0 == *b"trex" {
            defaults.push(moof::read_trex(&child)?);
        }
    }
    let defaults_of = |track_id: u32| {
        let found = defaults.iter().find(|(id, _)| *id == track_id);
        found.map_or(Defaults::default(), |(_, defaults)| *defaults)
    };
    let extend = |(header, table)| -> Extended {
        let header: &TrackHeader = header;
        Extended { track_id: header.track_id, defaults: defaults_of(header.track_id), table }
    };
    let mut extended: Vec<Extended> = tracks.iter_mut().map(|(header, table)| extend((&*header, table))).collect();
    for moof in moofs {
        moof::read(moof, &mut extended, budget)?;
    }
    Ok(())
}
