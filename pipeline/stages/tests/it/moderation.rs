//! The moderator on real clips: plain ones are approved with what was looked at, the rest is flagged with where.

use mcsp_events::{ModerationDecided, ModerationFlagged, Outgoing};
use mcsp_fixtures::media;
use mcsp_runtime::stage::Stage as _;
use mcsp_stages::{Moderator, Rules};

use crate::world::{World, context, sandbox};

async fn moderated(world: &World, path: &std::path::Path, title: &str) -> Vec<Outgoing> {
    let event = world.uploaded(path, title).await;
    let moderator = Moderator::new(world.stores.clone(), sandbox(), Rules::default());
    moderator.handle(event.clone(), &context(&event)).await.unwrap()
}

/// Returns the event of a flag or an approval in one line.
fn line(outgoing: &[Outgoing]) -> String {
    if outgoing[0].topic().as_str() == "moderation.decided" {
        let decided: ModerationDecided = crate::world::only(outgoing);
        return format!("{} {}: {}", decided.approved, decided.decided_by, decided.reason);
    }
    let flagged: ModerationFlagged = crate::world::only(outgoing);
    let ranges: Vec<_> = flagged.ranges.iter().map(|range| (range.start_ms, range.end_ms)).collect();
    format!("{} {} {} {ranges:?}", flagged.flagged_by, flagged.labels.join(","), flagged.confidence_permille)
}

#[tokio::test]
async fn plain_clips_are_approved_and_words_are_flagged() {
    let world = World::new();
    let clip = media("cups-720p30-4s.mp4");
    let approved = line(&moderated(&world, &clip, "Three cups").await);
    let expected = "true rules-1: no rule applies to its title, its file name and 3 pictures; \
                    4 of 5 s were watched for flashing";
    assert_eq!(approved, expected);
    assert_eq!(line(&moderated(&world, &clip, "Pórno!").await), "rules-1 adult 500 []");
}

#[tokio::test]
async fn a_strobe_is_flagged_with_its_place() {
    let world = World::new();
    let strobe = "color=white:s=160x90:r=25:d=6,format=yuv420p,\
                  geq=lum='if(between(T,2,4)*lt(mod(N,4),2),235,16)':cb=128:cr=128";
    let film = world.made("strobe.mp4", &["-f", "lavfi", "-i", strobe]);
    let flagged: ModerationFlagged = crate::world::only(&moderated(&world, &film, "").await);
    assert_eq!(flagged.labels, ["flashing", "blank"]);
    assert_eq!(flagged.ranges.len(), 1, "{:?}", flagged.ranges);
    let range = flagged.ranges[0];
    assert!((1900..=2200).contains(&range.start_ms) && (3800..=4300).contains(&range.end_ms), "{range:?}");
}

#[tokio::test]
async fn a_film_that_shows_nothing_is_flagged_and_sound_alone_is_fine() {
    let world = World::new();
    let black = world.made("black.mp4", &["-f", "lavfi", "-i", "color=black:s=160x90:r=10:d=12"]);
    assert_eq!(line(&moderated(&world, &black, "").await), "rules-1 blank 700 []");
    let silence = world.made("silence.wav", &["-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "2"]);
    let approved = line(&moderated(&world, &silence, "").await);
    assert_eq!(approved, "true rules-1: no rule applies to its title and file name; it has no pictures");
}
