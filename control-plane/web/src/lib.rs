//! The studio, the watch page and its players, embedded. In: the name of a file. Out: its bytes and media type.

/// One embedded file.
#[derive(Debug)]
pub struct Asset {
    /// The name that pages ask for.
    pub path: &'static str,
    /// The media type, with its character set.
    pub content_type: &'static str,
    /// The content.
    pub bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! asset {
    ($path:literal, $content_type:expr, $file:literal) => {
        Asset {
            path: $path,
            content_type: $content_type,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $file)),
        }
    };
}

/// Every embedded file. Of each player this is the smallest build that decrypts, without its own controls.
static ASSETS: [Asset; 17] = [
    asset!("watch.html", HTML, "src/assets/watch.html"),
    asset!("watch.css", CSS, "src/assets/watch.css"),
    asset!("watch.js", SCRIPT, "src/assets/watch.js"),
    asset!("players.js", SCRIPT, "src/assets/players.js"),
    asset!("facts.js", SCRIPT, "src/assets/facts.js"),
    asset!("playback.js", SCRIPT, "src/assets/playback.js"),
    asset!("studio.html", HTML, "src/assets/studio.html"),
    asset!("studio.css", CSS, "src/assets/studio.css"),
    asset!("studio.js", SCRIPT, "src/assets/studio.js"),
    asset!("account.js", SCRIPT, "src/assets/account.js"),
    asset!("api.js", SCRIPT, "src/assets/api.js"),
    asset!("live.js", SCRIPT, "src/assets/live.js"),
    asset!("timeline.js", SCRIPT, "src/assets/timeline.js"),
    asset!("uploader.js", SCRIPT, "src/assets/uploader.js"),
    asset!("icon.svg", PICTURE, "src/assets/icon.svg"),
    asset!("shaka-player.js", SCRIPT, "node_modules/shaka-player/dist/shaka-player.compiled.js"),
    asset!("hls.js", SCRIPT, "node_modules/hls.js/dist/hls.min.js"),
];

/// Returns the embedded file of that name.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_only_files_that_are_embedded() {
        for asset in ASSETS.iter().filter(|asset| !["shaka-player.js", "hls.js"].contains(&asset.path)) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for rest in text.split("/assets/").skip(1) {
                let name: String =
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).collect();
                assert!(super::asset(&name).is_some(), "{} names {name}", asset.path);
            }
        }
    }

    #[test]
    fn the_page_keeps_to_its_security_policy() {
        for name in ["watch.html", "studio.html"] {
            let page = std::str::from_utf8(asset(name).unwrap().bytes).unwrap();
            assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick="));
            let loaded = page.matches("<script src=").count() + page.matches("<script type=\"module\" src=").count();
            assert_eq!(page.matches("<script").count(), loaded, "{name}");
        }
    }

    #[test]
    fn a_player_is_a_player() {
        for (name, word) in [("shaka-player.js", "shaka"), ("hls.js", "emeEnabled")] {
            let bytes = asset(name).unwrap().bytes;
            assert!(bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{name}");
        }
        assert!(asset("nothing").is_none());
    }
}
