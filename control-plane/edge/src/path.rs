//! Which paths are taken. What is checked is what is opened: only plain names pass, so that no decoding or normalising
//! stands between the two.

use mcsp_domain::ObjectKey;

/// The route's prefix.
const PREFIX: &str = "/t/";
/// Folder and file name: `RENDITION/FILE` needs two, thumbnails may need one more.
const NAMES_MAX: usize = 3;

/// What kind of object it is: each has its own time and its own place in caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A playlist or a media presentation description.
    Manifest,
    /// A media segment: never changed once it is there.
    Segment,
    /// Initialisation segments, pictures, text tracks.
    Other,
}

/// A path of plain names inside a package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PackagePath {
    pub(crate) key: ObjectKey,
    pub(crate) kind: Kind,
    pub(crate) content_type: &'static str,
}

/// Splits `/t/{token}/{path}` as it came into token and path.
pub(crate) fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix(PREFIX)?.split_once('/')
}

impl PackagePath {
    /// Checks the text after the token. An object key holds letters, digits, `-`, `_` and `.`, in names that are not empty
    /// and begin with no dot: an escape, `..`, an empty name and a backslash are refused alike.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.split('/').count() > NAMES_MAX {
            return None;
        }
        let key = ObjectKey::parse(text).ok()?;
        let (_, ending) = text.rsplit_once('.')?;
        // Reports and plans end in `.json`, and are nobody's.
        let (kind, content_type) = match ending {
            "m3u8" => (Kind::Manifest, "application/vnd.apple.mpegurl"),
            "mpd" => (Kind::Manifest, "application/dash+xml"),
            "m4s" => (Kind::Segment, "video/iso.segment"),
            "mp4" => (Kind::Other, "video/mp4"),
            "vtt" => (Kind::Other, "text/vtt; charset=utf-8"),
            "jpg" => (Kind::Other, "image/jpeg"),
            "png" => (Kind::Other, "image/png"),
            _ => return None,
        };
        Some(Self { key, kind, content_type })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_of_a_package_pass() {
        for (text, kind) in [
            ("master.m3u8", Kind::Manifest),
            ("manifest.mpd", Kind::Manifest),
            ("video-720p/media.m3u8", Kind::Manifest),
            ("video-720p/init.mp4", Kind::Other),
            ("video-720p/00001.m4s", Kind::Segment),
            ("thumbnails/storyboard.vtt", Kind::Other),
        ] {
            assert_eq!(PackagePath::parse(text).unwrap().kind, kind, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "..",
            "../master.m3u8",
            "a/../master.m3u8",
            "%2e%2e/master.m3u8",
            "..%2fmaster.m3u8",
            "%2f..%2fmaster.m3u8",
            "/master.m3u8",
            "a//master.m3u8",
            "master.m3u8/",
            "./master.m3u8",
            ".hidden.m3u8",
            "..\\master.m3u8",
            "a\\master.m3u8",
            "master.m3u8\0",
            "master.m3u8%00",
            "master.m3u8;a",
            "package.json",
            "plan.json",
            "master",
            "a/b/c/d.m4s",
            "mästér.m3u8",
        ] {
            assert_eq!(PackagePath::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_token_ends_at_the_first_slash() {
        assert_eq!(split("/t/a.b.c/video/1.m4s"), Some(("a.b.c", "video/1.m4s")));
        assert_eq!(split("/t//video/1.m4s"), Some(("", "video/1.m4s")));
        assert_eq!(split("/t/a.b.c"), None);
    }
}
