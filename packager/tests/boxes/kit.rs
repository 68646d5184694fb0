//! Small tracks made by hand: frames, chunk objects by the muxer under test, progressive files by a writer of its own.

use mcsp_domain::{Colour, RenditionName};
use mcsp_packager::bmff::{BoxWriter, FrameIn, Movie, fragment, init_segment};
use mcsp_packager::plan::{ObjectInput, RenditionInput};
use mcsp_packager::{AacConfig, AvcConfig, MediaConfig, TrackConfig};

/// `AVCDecoderConfigurationRecord` of a 320 × 180 High picture, as x264 wrote it.
const AVC_CONFIG: &str = "0164000dffe100186764000dacd941419f9f011000003e90000ea600f142996001000468ef8fcbfdf8f800";

/// One frame of a made-up track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) data: Vec<u8>,
    pub(crate) pts: i64,
    pub(crate) key: bool,
}

pub(crate) fn video(timescale: u32) -> TrackConfig {
    let media = MediaConfig::Avc(AvcConfig {
        width_px: 320,
        height_px: 180,
        colour: Colour { primaries: 1, transfer: 1, matrix: 1, full_range: false },
        decoder_config: hex(AVC_CONFIG),
    });
    TrackConfig { timescale, language: "und".into(), edit_media_time: 0, media }
}

pub(crate) fn audio(edit_media_time: i64) -> TrackConfig {
    let audio_specific_config = vec![0x11, 0x90];
    let media = MediaConfig::Aac(AacConfig { sample_rate_hz: 48_000, channels: 2, audio_specific_config });
    TrackConfig { timescale: 48_000, language: "deu".into(), edit_media_time, media }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// Returns the frames of one closed GOP that starts at `pts`, a frame for each of `durations`. Frames 2 and 3 of each
/// three change places on their way to the decoder, as B frames do.
pub(crate) fn gop(pts: i64, durations: &[i64], b_frames: bool) -> Vec<Frame> {
    let mut at = pts;
    let mut frames = Vec::new();
    for (index, duration) in durations.iter().enumerate() {
        let size = 5 + (at.unsigned_abs() as usize * 7 + index) % 90;
        // One NAL unit behind its length: an IDR slice, or another.
        let mut data: Vec<u8> = (0..size).map(|byte| (byte + index) as u8).collect();
        data[..4].copy_from_slice(&(size as u32 - 4).to_be_bytes());
        data[4] = if index == 0 { 0x65 } else { 0x41 };
        frames.push(Frame { data, pts: at, key: index == 0 });
        at += duration;
    }
    if b_frames {
        for pair in frames[1..].chunks_exact_mut(2) {
            pair.swap(0, 1);
        }
    }
    frames
}

/// Returns a chunk object: an initialisation segment and a fragment for each GOP.
pub(crate) fn chunk(config: &TrackConfig, gops: &[Vec<Frame>], end: i64) -> Vec<u8> {
    let mut bytes = init_segment(config, None);
    for (index, frames) in gops.iter().enumerate() {
        let next = gops.get(index + 1).map_or(end, |gop| gop[0].pts);
        let frames: Vec<FrameIn> =
            frames.iter().map(|frame| FrameIn { data: &frame.data, pts: frame.pts, key: frame.key }).collect();
        bytes.extend(fragment(index as u32 + 1, &frames, next).unwrap());
    }
    bytes
}

/// Returns the frames that the only track of a file holds.
pub(crate) fn frames_of(bytes: &[u8]) -> Vec<Frame> {
    let track = Movie::parse(bytes).unwrap().into_single_track().unwrap();
    let samples = &track.samples;
    let frame = |index: usize| {
        let start = samples.offsets()[index] as usize;
        let data = bytes[start..start + samples.sizes()[index] as usize].to_vec();
        Frame { data, pts: samples.pts()[index], key: samples.keys()[index] }
    };
    (0..samples.len()).map(frame).collect()
}

/// Returns a rendition of one object for each of `files`.
pub(crate) fn rendition<'a>(name: &str, files: &'a [Vec<u8>]) -> RenditionInput<'a> {
    let object = |(chunk, bytes): (usize, &'a Vec<u8>)| ObjectInput {
        bytes,
        track: Movie::parse(bytes).unwrap().into_single_track().unwrap(),
        chunk: chunk as u16,
    };
    RenditionInput {
        name: RenditionName::parse(name).unwrap(),
        objects: files.iter().enumerate().map(object).collect(),
    }
}

/// The tables of a progressive file, to be bent before they are written.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) stts: Vec<[u32; 2]>,
    pub(crate) ctts: Vec<[u32; 2]>,
    /// The uniform size, the count, the sizes.
    pub(crate) stsz: (u32, u32, Vec<u32>),
    pub(crate) stsc: Vec<[u32; 3]>,
    pub(crate) stco: Vec<u32>,
    pub(crate) stss: Vec<u32>,
    pub(crate) elst: Vec<[u32; 3]>,
}

impl Tables {
    /// Describes frames that lie in chunks of three behind `data_offset`, `reorder` ticks before they are shown.
    pub(crate) fn of(frames: &[Frame], end: i64, reorder: i64, data_offset: u32) -> Self {
        let mut dts: Vec<i64> = frames.iter().map(|frame| frame.pts).collect();
        dts.sort_unstable();
        dts.push(end);
        let tick = |ticks: i64| u32::try_from(ticks).unwrap();
        let sizes: Vec<u32> = frames.iter().map(|frame| frame.data.len() as u32).collect();
        let mut stco = Vec::new();
        let mut offset = data_offset;
        for chunk in sizes.chunks(3) {
            stco.push(offset);
            offset += chunk.iter().sum::<u32>();
        }
        let (full, rest) = (sizes.len() as u32 / 3, sizes.len() as u32 % 3);
        let runs = [[1, 3, 1], [full + 1, rest, 1]].into_iter();
        Self {
            stts: dts.windows(2).map(|pair| [1, tick(pair[1] - pair[0])]).collect(),
            ctts: frames.iter().zip(&dts).map(|(frame, dts)| [1, tick(frame.pts - dts + reorder)]).collect(),
            stsz: (0, sizes.len() as u32, sizes),
            stsc: runs.filter(|run| run[1] > 0 && run[0] <= stco.len() as u32).skip(usize::from(full == 0)).collect(),
            stco,
            stss: (1..).zip(frames).filter(|(_, frame)| frame.key).map(|(number, _)| number).collect(),
            elst: vec![[0, tick(reorder), 0x0001_0000]],
        }
    }

    fn write(&self, w: &mut BoxWriter) {
        let table = |w: &mut BoxWriter, name: [u8; 4], rows: Vec<&[u32]>| {
            w.full_box(name, 0, 0, |w| {
                w.u32(rows.len() as u32);
                rows.into_iter().flatten().for_each(|&value| w.u32(value));
            });
        };
        table(w, *b"stts", self.stts.iter().map(|row| &row[..]).collect());
        table(w, *b"ctts", self.ctts.iter().map(|row| &row[..]).collect());
        table(w, *b"stsc", self.stsc.iter().map(|row| &row[..]).collect());
        table(w, *b"stco", self.stco.iter().map(std::slice::from_ref).collect());
        table(w, *b"stss", self.stss.iter().map(std::slice::from_ref).collect());
        w.full_box(*b"stsz", 0, 0, |w| {
            w.u32(self.stsz.0);
            w.u32(self.stsz.1);
            self.stsz.2.iter().for_each(|&size| w.u32(size));
        });
    }
}

/// Bytes before the first sample of `progressive`: `ftyp` and the header of `mdat`.
pub(crate) const PROGRESSIVE_DATA_OFFSET: u32 = 16 + 8;

/// Returns a progressive file with its `moov` at the end. The sample entry is taken out of an initialisation segment.
pub(crate) fn progressive(config: &TrackConfig, frames: &[Frame], tables: &Tables) -> Vec<u8> {
    let init = init_segment(config, None);
    let part = |name: &[u8; 4]| {
        let at = init.windows(4).position(|window| window == name).unwrap() - 4;
        let size = u32::from_be_bytes(init[at..at + 4].try_into().unwrap()) as usize;
        &init[at..at + size]
    };
    let mut out = Vec::new();
    let mut w = BoxWriter::new(&mut out);
    w.boxed(*b"ftyp", |w| w.bytes(b"isom\0\0\0\0"));
    w.boxed(*b"mdat", |w| frames.iter().for_each(|frame| w.bytes(&frame.data)));
    w.boxed(*b"moov", |w| {
        w.bytes(part(b"mvhd"));
        w.boxed(*b"trak", |w| {
            w.bytes(part(b"tkhd"));
            w.boxed(*b"edts", |w| {
                w.full_box(*b"elst", 0, 0, |w| {
                    w.u32(tables.elst.len() as u32);
                    tables.elst.iter().flatten().for_each(|&value| w.u32(value));
                });
            });
            w.boxed(*b"mdia", |w| {
                w.bytes(part(b"mdhd"));
                w.bytes(part(b"hdlr"));
                w.boxed(*b"minf", |w| {
                    w.boxed(*b"stbl", |w| {
                        w.bytes(part(b"stsd"));
                        tables.write(w);
                    });
                });
            });
        });
    });
    out
}
