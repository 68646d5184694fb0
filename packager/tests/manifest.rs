//! Manifests from outside: their text, and what parsers that we did not write make of it.

#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

use insta::assert_snapshot;
use m3u8_rs::KeyMethod;
use mcsp_domain::{Colour, KeyId, RenditionName, Scheme};
use mcsp_packager::manifest::{ManifestError, Presentation, RenditionInfo, SegmentInfo, dash, hls};
use mcsp_packager::{AacConfig, AvcConfig, MediaConfig};

const HD: [u8; 16] = *b"hd-key-id-------";
const SD: [u8; 16] = *b"sd-key-id-------";
const AUDIO: [u8; 16] = *b"audio-key-id----";

/// Segments that follow each other: (duration in ticks, bytes).
fn segments(list: &[(u64, u64)]) -> Vec<SegmentInfo> {
    let mut start_ticks = 0;
    let mut out = Vec::new();
    for &(duration_ticks, size_bytes) in list {
        out.push(SegmentInfo { start_ticks, duration_ticks, size_bytes });
        start_ticks += i64::try_from(duration_ticks).unwrap();
    }
    out
}

fn video(name: &str, size: (u16, u16), list: &[(u64, u64)]) -> RenditionInfo {
    let decoder_config = vec![1, 0x64, 0, 0x28, 0xff, 0xe0, 0];
    let media = MediaConfig::Avc(AvcConfig {
        width_px: size.0,
        height_px: size.1,
        colour: Colour::UNSPECIFIED,
        decoder_config,
    });
    RenditionInfo {
        name: RenditionName::parse(name).unwrap(),
        media,
        timescale: 30_000,
        language: "und".to_owned(),
        kid: None,
        frame_rate: Some((30_000, 1001)),
        segments: segments(list),
    }
}

fn audio(name: &str, language: &str, list: &[(u64, u64)]) -> RenditionInfo {
    let aac = AacConfig { sample_rate_hz: 48_000, channels: 2, audio_specific_config: vec![0x11, 0x90] };
    RenditionInfo {
        name: RenditionName::parse(name).unwrap(),
        media: MediaConfig::Aac(aac),
        timescale: 48_000,
        language: language.to_owned(),
        kid: None,
        frame_rate: None,
        segments: segments(list),
    }
}

/// Two rungs and two languages, 10.01 s in segments of 4 s.
fn film() -> Presentation {
    let long = 120_120;
    Presentation {
        renditions: vec![
            video("video-360p", (640, 360), &[(long, 300_000), (long, 200_000), (60_060, 100_000)]),
            video("video-1080p", (1920, 1080), &[(long, 3_000_000), (long, 2_000_000), (60_060, 1_000_000)]),
            audio("audio-eng", "eng", &[(192_512, 64_000), (191_488, 64_000), (96_480, 32_000)]),
            audio("audio-x", "\"><e/>\n", &[(192_512, 32_000), (191_488, 32_000), (96_480, 16_000)]),
        ],
        scheme: None,
    }
}

fn protected(scheme: Scheme) -> Presentation {
    let mut film = film();
    film.scheme = Some(scheme);
    for (rendition, kid) in film.renditions.iter_mut().zip([SD, HD, AUDIO, AUDIO]) {
        rendition.kid = Some(KeyId::from_bytes(kid));
    }
    film
}

fn error_of(p: &Presentation) -> String {
    let error: ManifestError = hls::multivariant(p).unwrap_err();
    assert_eq!(dash::mpd(p).unwrap_err(), error);
    error.to_string()
}

#[test]
fn multivariant_text() {
    assert_snapshot!(hls::multivariant(&film()).unwrap(), @r#"
    #EXTM3U
    #EXT-X-VERSION:7
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio-eng",LANGUAGE="en",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="audio-eng/media.m3u8"
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio-x",DEFAULT=NO,AUTOSELECT=YES,CHANNELS="2",URI="audio-x/media.m3u8"
    #EXT-X-STREAM-INF:BANDWIDTH=6122349,AVERAGE-BANDWIDTH=4923078,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=29.970,VIDEO-RANGE=SDR,AUDIO="audio",CLOSED-CAPTIONS=NONE
    video-1080p/media.m3u8
    #EXT-X-STREAM-INF:BANDWIDTH=727744,AVERAGE-BANDWIDTH=607394,CODECS="avc1.640028,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=29.970,VIDEO-RANGE=SDR,AUDIO="audio",CLOSED-CAPTIONS=NONE
    video-360p/media.m3u8
    "#);
}

#[test]
fn multivariant_without_video() {
    let mut film = film();
    film.renditions.drain(..2);
    assert_snapshot!(hls::multivariant(&film).unwrap(), @r#"
    #EXTM3U
    #EXT-X-VERSION:7
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-STREAM-INF:BANDWIDTH=128343,AVERAGE-BANDWIDTH=127873,CODECS="mp4a.40.2",CLOSED-CAPTIONS=NONE
    audio-eng/media.m3u8
    #EXT-X-STREAM-INF:BANDWIDTH=64172,AVERAGE-BANDWIDTH=63937,CODECS="mp4a.40.2",CLOSED-CAPTIONS=NONE
    audio-x/media.m3u8
    "#);
}

#[test]
fn media_text() {
    assert_snapshot!(hls::media(&film(), 1).unwrap(), @r#"
    #EXTM3U
    #EXT-X-VERSION:7
    #EXT-X-TARGETDURATION:4
    #EXT-X-MEDIA-SEQUENCE:0
    #EXT-X-PLAYLIST-TYPE:VOD
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MAP:URI="init.mp4"
    #EXTINF:4.004000,
    00001.m4s
    #EXTINF:4.004000,
    00002.m4s
    #EXTINF:2.002000,
    00003.m4s
    #EXT-X-ENDLIST
    "#);
}

#[test]
fn media_text_cbcs() {
    assert_snapshot!(hls::media(&protected(Scheme::Cbcs), 0).unwrap(), @r#"
    #EXTM3U
    #EXT-X-VERSION:7
    #EXT-X-TARGETDURATION:4
    #EXT-X-MEDIA-SEQUENCE:0
    #EXT-X-PLAYLIST-TYPE:VOD
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MAP:URI="init.mp4"
    #EXT-X-KEY:METHOD=SAMPLE-AES,URI="data:text/plain;base64,c2Qta2V5LWlkLS0tLS0tLQ==",KEYID=0x73642d6b65792d69642d2d2d2d2d2d2d,KEYFORMAT="org.w3.clearkey",KEYFORMATVERSIONS="1"
    #EXTINF:4.004000,
    00001.m4s
    #EXTINF:4.004000,
    00002.m4s
    #EXTINF:2.002000,
    00003.m4s
    #EXT-X-ENDLIST
    "#);
}

#[test]
fn media_text_cenc() {
    let text = hls::media(&protected(Scheme::Cenc), 2).unwrap();
    let key = text.lines().find(|line| line.starts_with("#EXT-X-KEY")).unwrap();
    assert_snapshot!(key, @r#"#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="data:text/plain;base64,YXVkaW8ta2V5LWlkLS0tLQ==",KEYID=0x617564696f2d6b65792d69642d2d2d2d,KEYFORMAT="org.w3.clearkey",KEYFORMATVERSIONS="1""#);
}

#[test]
fn m3u8_rs_reads_the_multivariant_playlist() {
    let text = hls::multivariant(&protected(Scheme::Cbcs)).unwrap();
    let playlist = m3u8_rs::parse_master_playlist_res(text.as_bytes()).unwrap();
    let sizes: Vec<_> = playlist.variants.iter().map(|v| v.resolution.map(|r| (r.width, r.height))).collect();
    assert_eq!(sizes, [Some((1920, 1080)), Some((640, 360))]);
    assert!(playlist.independent_segments && playlist.session_key.is_empty());
    let first = &playlist.variants[0];
    assert_eq!((first.uri.as_str(), first.audio.as_deref()), ("video-1080p/media.m3u8", Some("audio")));
    assert_eq!(first.codecs.as_deref(), Some("avc1.640028,mp4a.40.2"));
    assert_eq!(first.frame_rate, Some(29.97));
    let audio: Vec<_> =
        playlist.alternatives.iter().map(|a| (a.name.as_str(), a.language.as_deref(), a.default)).collect();
    assert_eq!(audio, [("audio-eng", Some("en"), true), ("audio-x", None, false)]);
}

#[test]
fn m3u8_rs_reads_media_playlists() {
    for (scheme, method) in
        [(Scheme::Cbcs, KeyMethod::SampleAES), (Scheme::Cenc, KeyMethod::Other("SAMPLE-AES-CTR".to_owned()))]
    {
        let film = protected(scheme);
        let text = hls::media(&film, 1).unwrap();
        let playlist = m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap();
        assert_eq!((playlist.target_duration, playlist.end_list, playlist.segments.len()), (4, true, 3));
        let uris: Vec<_> = playlist.segments.iter().map(|s| s.uri.as_str()).collect();
        assert_eq!(uris, ["00001.m4s", "00002.m4s", "00003.m4s"]);
        assert_eq!(playlist.segments[0].map.as_ref().unwrap().uri, "init.mp4");
        let key = playlist.segments[0].key.as_ref().unwrap();
        assert_eq!((&key.method, key.keyformat.as_deref()), (&method, Some("org.w3.clearkey")));
    }
}

#[test]
fn rounding_does_not_add_up() {
    let mut film = film();
    film.renditions = vec![video("video-thirds", (640, 360), &[(10, 1000); 3000])];
    film.renditions[0].timescale = 30;
    let text = hls::media(&film, 0).unwrap();
    let micros = |line: &str| -> Option<u64> { line.strip_prefix("#EXTINF:")?.replace(['.', ','], "").parse().ok() };
    assert_eq!(text.lines().filter_map(micros).sum::<u64>(), 1_000_000_000);
}

#[test]
fn the_longest_segment_rounds_to_the_target_duration() {
    for (ticks, target) in [(1_000, 1), (119_000, 4), (134_999, 4), (135_000, 5)] {
        let mut film = film();
        film.renditions = vec![video("video-a", (640, 360), &[(ticks, 1000), (900, 1000)])];
        let text = hls::media(&film, 0).unwrap();
        assert!(text.contains(&format!("#EXT-X-TARGETDURATION:{target}\n")), "{ticks} ticks: {text}");
    }
}

#[test]
fn a_tiny_last_segment_does_not_set_the_bandwidth() {
    let mut film = film();
    // 1 Mb/s, then one frame of a key picture: 100 kB in a thirtieth of a second.
    film.renditions = vec![video("video-a", (640, 360), &[(120_000, 500_000), (120_000, 500_000), (1_000, 100_000)])];
    let text = hls::multivariant(&film).unwrap();
    // 4 s of 500 kB and the last frame: 4.8 Mb in 4.0333 s.
    assert!(text.contains("BANDWIDTH=1190083,AVERAGE-BANDWIDTH=1095436,"), "{text}");
    let mpd = dash_mpd_core::parse(&dash::mpd(&film).unwrap()).unwrap();
    // Starting at the second segment, 600 kB must be there 8 s later: 1 Mb/s would do, but the average stands above it.
    assert_eq!(mpd.periods[0].adaptations[0].representations[0].bandwidth, Some(1_095_436));
}

#[test]
fn mpd_text_clear() {
    assert_snapshot!(dash::mpd(&film()).unwrap(), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:mpeg:cenc:2013" profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019" type="static" mediaPresentationDuration="PT10.010S" maxSegmentDuration="PT4.011S" minBufferTime="PT4.011S">
      <Period id="0" start="PT0S">
        <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" maxWidth="1920" maxHeight="1080" maxFrameRate="30000/1001">
          <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
          <SegmentTemplate timescale="30000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s" startNumber="1">
            <SegmentTimeline>
              <S t="0" d="120120" r="1"/>
              <S d="60060"/>
            </SegmentTimeline>
          </SegmentTemplate>
          <Representation id="video-1080p" bandwidth="5983546" codecs="avc1.640028" width="1920" height="1080" frameRate="30000/1001">
          </Representation>
          <Representation id="video-360p" bandwidth="598355" codecs="avc1.640028" width="640" height="360" frameRate="30000/1001">
          </Representation>
        </AdaptationSet>
        <AdaptationSet id="1" contentType="audio" lang="en" mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1">
          <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
          <SegmentTemplate timescale="48000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s" startNumber="1">
            <SegmentTimeline>
              <S t="0" d="192512"/>
              <S d="191488"/>
              <S d="96480"/>
            </SegmentTimeline>
          </SegmentTemplate>
          <Representation id="audio-eng" bandwidth="127873" codecs="mp4a.40.2" audioSamplingRate="48000">
            <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
          </Representation>
        </AdaptationSet>
        <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1">
          <Role schemeIdUri="urn:mpeg:dash:role:2011" value="alternate"/>
          <SegmentTemplate timescale="48000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s" startNumber="1">
            <SegmentTimeline>
              <S t="0" d="192512"/>
              <S d="191488"/>
              <S d="96480"/>
            </SegmentTimeline>
          </SegmentTemplate>
          <Representation id="audio-x" bandwidth="63937" codecs="mp4a.40.2" audioSamplingRate="48000">
            <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
          </Representation>
        </AdaptationSet>
      </Period>
    </MPD>
    "#);
}

#[test]
fn mpd_text_with_keys_by_size() {
    assert_snapshot!(dash::mpd(&protected(Scheme::Cbcs)).unwrap(), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:cenc="urn:mpeg:cenc:2013" profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019" type="static" mediaPresentationDuration="PT10.010S" maxSegmentDuration="PT4.011S" minBufferTime="PT4.011S">
      <Period id="0" start="PT0S">
        <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1" maxWidth="1920" maxHeight="1080" maxFrameRate="30000/1001">
          <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
          <SegmentTemplate timescale="30000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s" startNumber="1">
            <SegmentTimeline>
              <S t="0" d="120120" r="1"/>
              <S d="60060"/>
            </SegmentTimeline>
          </SegmentTemplate>
          <Representation id="video-1080p" bandwidth="5983546" codecs="avc1.640028" width="1920" height="1080" frameRate="30000/1001">
            <ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cbcs" cenc:default_KID="68642d6b-6579-2d69-642d-2d2d2d2d2d2d"/>
            <ContentProtection schemeIdUri="urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b">
              <cenc:pssh>AAAARHBzc2gBAAAAEHfv7MCyTQKs4zweUuL7SwAAAAJoZC1rZXktaWQtLS0tLS0tc2Qta2V5LWlkLS0tLS0tLQAAAAA=</cenc:pssh>
            </ContentProtection>
          </Representation>
          <Representation id="video-360p" bandwidth="598355" codecs="avc1.640028" width="640" height="360" frameRate="30000/1001">
            <ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cbcs" cenc:default_KID="73642d6b-6579-2d69-642d-2d2d2d2d2d2d"/>
            <ContentProtection schemeIdUri="urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b">
              <cenc:pssh>AAAARHBzc2gBAAAAEHfv7MCyTQKs4zweUuL7SwAAAAJzZC1rZXktaWQtLS0tLS0taGQta2V5LWlkLS0tLS0tLQAAAAA=</cenc:pssh>
            </ContentProtection>
          </Representation>
        </AdaptationSet>
        <AdaptationSet id="1" contentType="audio" lang="en" mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1">
          <ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cbcs" cenc:default_KID="61756469-6f2d-6b65-792d-69642d2d2d2d"/>
          <ContentProtection schemeIdUri="urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b">
            <cenc:pssh>AAAANHBzc2gBAAAAEHfv7MCyTQKs4zweUuL7SwAAAAFhdWRpby1rZXktaWQtLS0tAAAAAA==</cenc:pssh>
          </ContentProtection>
          <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
          <SegmentTemplate timescale="48000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s" startNumber="1">
            <SegmentTimeline>
              <S t="0" d="192512"/>
              <S d="191488"/>
              <S d="96480"/>
            </SegmentTimeline>
          </SegmentTemplate>
          <Representation id="audio-eng" bandwidth="127873" codecs="mp4a.40.2" audioSamplingRate="48000">
            <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
          </Representation>
        </AdaptationSet>
        <AdaptationSet id="2" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1">
          <ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cbcs" cenc:default_KID="61756469-6f2d-6b65-792d-69642d2d2d2d"/>
          <ContentProtection schemeIdUri="urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b">
            <cenc:pssh>AAAANHBzc2gBAAAAEHfv7MCyTQKs4zweUuL7SwAAAAFhdWRpby1rZXktaWQtLS0tAAAAAA==</cenc:pssh>
          </ContentProtection>
          <Role schemeIdUri="urn:mpeg:dash:role:2011" value="alternate"/>
          <SegmentTemplate timescale="48000" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s" startNumber="1">
            <SegmentTimeline>
              <S t="0" d="192512"/>
              <S d="191488"/>
              <S d="96480"/>
            </SegmentTimeline>
          </SegmentTemplate>
          <Representation id="audio-x" bandwidth="63937" codecs="mp4a.40.2" audioSamplingRate="48000">
            <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
          </Representation>
        </AdaptationSet>
      </Period>
    </MPD>
    "#);
}

#[test]
fn dash_mpd_reads_the_mpd() {
    let film = protected(Scheme::Cenc);
    let mpd = dash_mpd_core::parse(&dash::mpd(&film).unwrap()).unwrap();
    assert_eq!(mpd.mediaPresentationDuration.unwrap().as_millis(), 10_010);
    let sets = &mpd.periods[0].adaptations;
    assert_eq!(sets.len(), 3);
    let names: Vec<_> = sets[0].representations.iter().map(|r| r.id.clone().unwrap()).collect();
    assert_eq!(names, ["video-1080p", "video-360p"]);
    for (representation, kid) in sets[0].representations.iter().zip([HD, SD]) {
        let uuid = KeyId::from_bytes(kid).to_uuid_text();
        assert_eq!(representation.ContentProtection[0].default_KID, Some(uuid));
        assert_eq!(representation.ContentProtection[0].value.as_deref(), Some("cenc"));
        assert_eq!(representation.ContentProtection[1].cenc_pssh.len(), 1);
    }
    assert_eq!(sets[1].ContentProtection.len(), 2);
    assert_eq!((sets[1].lang.as_deref(), sets[2].lang.as_deref()), (Some("en"), None));
    let timeline = sets[0].SegmentTemplate.as_ref().unwrap().SegmentTimeline.as_ref().unwrap();
    let runs: Vec<_> = timeline.segments.iter().map(|s| (s.t, s.d, s.r)).collect();
    assert_eq!(runs, [(Some(0), 120_120, Some(1)), (None, 60_060, None)]);
}

#[test]
fn differing_timelines_stand_in_their_representations() {
    let mut film = film();
    film.renditions[1].timescale = 60_000;
    for segment in &mut film.renditions[1].segments {
        segment.start_ticks *= 2;
        segment.duration_ticks *= 2;
    }
    let aligned = dash::mpd(&film).unwrap();
    let mpd = dash_mpd_core::parse(&aligned).unwrap();
    let set = &mpd.periods[0].adaptations[0];
    assert_eq!((set.segmentAlignment, set.SegmentTemplate.is_some()), (Some(true), false));
    assert!(set.representations.iter().all(|r| r.SegmentTemplate.is_some()));
    film.renditions[1].segments[1].start_ticks += 1;
    film.renditions[1].segments[1].duration_ticks -= 1;
    let mpd = dash_mpd_core::parse(&dash::mpd(&film).unwrap()).unwrap();
    let set = &mpd.periods[0].adaptations[0];
    assert_eq!(set.segmentAlignment, Some(false));
    let template = set.representations[0].SegmentTemplate.as_ref().unwrap();
    let timeline = template.SegmentTimeline.as_ref().unwrap();
    // One tick is missing before the second segment, which therefore names its time.
    let times: Vec<_> = timeline.segments.iter().map(|s| s.t).collect();
    assert_eq!(times, [Some(0), Some(240_241), None]);
}

#[test]
fn impossible_values_are_refused() {
    let change = |edit: fn(&mut Presentation)| {
        let mut film = protected(Scheme::Cbcs);
        edit(&mut film);
        error_of(&film)
    };
    let errors = [
        change(|p| p.renditions.clear()),
        change(|p| p.renditions[1].name = p.renditions[0].name.clone()),
        change(|p| p.renditions[1].timescale = 0),
        change(|p| p.renditions[1].frame_rate = Some((30, 0))),
        change(|p| p.renditions[1].kid = None),
        change(|p| p.scheme = None),
        change(|p| p.renditions[1].segments.clear()),
        change(|p| p.renditions[1].segments[2].duration_ticks = 0),
        change(|p| p.renditions[1].segments[0].start_ticks = -1),
        change(|p| p.renditions[1].segments[2].start_ticks = 5),
        hls::media(&film(), 4).unwrap_err().to_string(),
    ];
    assert_snapshot!(errors.join("\n"), @r#"
    presentation has no renditions
    two renditions are named video-360p
    rendition video-1080p: its timescale is 0
    rendition video-1080p: its frame rate is 0
    rendition video-1080p: it has no key id in a protected presentation
    rendition video-360p: it has a key id in a clear presentation
    rendition video-1080p: it has no segments
    rendition video-1080p, segment 3: it lasts 0 ticks
    rendition video-1080p, segment 1: it starts before 0
    rendition video-1080p, segment 3: it starts before the end of the one before it
    rendition index 4 of 4 renditions
    "#);
}

#[test]
fn hostile_languages_do_not_reach_the_text() {
    for text in [hls::multivariant(&film()).unwrap(), dash::mpd(&film()).unwrap()] {
        assert!(!text.contains("<e/>") && !text.contains("&lt;e/&gt;"));
    }
}
