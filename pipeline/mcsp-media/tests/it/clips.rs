//! Whole clips through analysis and one quick rendition, against what FFmpeg's own tools count. The clips in the folder
//! of `MCSP_MEDIA` are looked at when it is set.

use std::path::Path;
use std::process::Command;

use mcsp_child::FailureKind;
use mcsp_domain::{Grid, Preset};

use crate::child::{By, chunk_work, plan, run, small_ladder};

/// Counts the decoded frames of one stream.
fn ffprobe_frames(path: &Path, stream_index: u32) -> u64 {
    let arguments = ["-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"];
    let mut command = Command::new("ffprobe");
    command.args(arguments).args(["-select_streams", &stream_index.to_string()]).arg(path);
    let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    printed.lines().next().unwrap().trim().trim_matches(',').parse().unwrap()
}

/// Returns one line about a clip; an error when its counts do not agree with FFmpeg's.
fn line_of(path: &Path) -> Result<String, String> {
    let name = path.file_name().unwrap().to_string_lossy();
    let grid = Grid::new(2000).unwrap();
    let planned = plan(path, grid, 6000, &small_ladder(&[240], &[2]), Preset::Ultrafast);
    let (plan, analysis) = match planned {
        Ok(planned) => planned,
        Err(failure) => {
            assert!([FailureKind::Unsupported, FailureKind::Corrupt, FailureKind::Limit].contains(&failure.kind));
            return Ok(format!("{name}: refused: {}", failure.message));
        }
    };
    let (mut frames, mut notes, mut read_bytes) = (0, Vec::new(), 0);
    for chunk in &plan.chunks {
        let said = run(path, By::Requests, chunk_work(&plan, chunk));
        assert!(said.done, "{name} chunk {}: {:?}", chunk.index, said.failure);
        read_bytes = said.read_bytes;
        frames += said.ends.get(&0).map_or(0, |end| end.frames);
        notes.extend(said.ends.values().flat_map(|end| end.dropped.clone()));
    }
    let video = analysis.video.as_ref().map_or(0, |video| video.frame_count);
    let points = analysis.video.as_ref().map_or(0, |video| video.access_points.len());
    let theirs = plan.probe.video.as_ref().map_or(0, |track| ffprobe_frames(path, track.stream_index));
    let (chunks, percent) = (plan.chunks.len(), read_bytes * 100 / plan.source_len_bytes);
    let line = format!(
        "{name}: {frames} frames in {chunks} chunks, {points} access points, the last chunk read {percent} % of the source"
    );
    if (video, frames, notes.len()) == (theirs, theirs, 0) {
        Ok(line)
    } else {
        Err(format!("{line}, {video} analysed, {theirs} decoded by ffprobe, {notes:?}"))
    }
}

#[test]
fn larger_clips_are_whole_or_refused_by_name() {
    let Some(folder) = mcsp_fixtures::larger_media() else { return };
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension != "md"));
    paths.sort();
    assert!(!paths.is_empty());
    let mut wrong = Vec::new();
    for path in paths {
        match line_of(&path) {
            Ok(line) => println!("{line}"),
            Err(line) => wrong.push(line),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
