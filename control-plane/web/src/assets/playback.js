// What the platform grants for one content: addresses, the token for keys, where the viewer stopped. While the film plays the
// platform is told where it stands, and gives a newer token for media before the old one ends.

import { call, get, post } from '/assets/api.js';

const BEAT_EVERY_MS = 10_000;

/** Asks to play a content. Throws a Refusal that says why not. */
export async function ask(content) {
  const [found, answer] = await Promise.all([
    get(`content/${encodeURIComponent(content)}`), post(`playback/${encodeURIComponent(content)}`),
  ]);
  const grant = {
    title: found.title,
    playback: answer.playback_id,
    manifests: { dash: answer.dash_url, hls: answer.hls_url },
    licence: answer.license_server_url,
    drmToken: answer.drm_token,
    startTime: answer.position_ms > 0 ? answer.position_ms / 1000 : undefined,
    prefix: prefixOf(answer.manifest_url),
  };
  /** Puts the newest token into an address of this content's media. */
  grant.current = (url) => {
    const prefix = prefixOf(url);
    return prefix && new URL(prefix).origin === new URL(grant.prefix).origin ? grant.prefix + url.slice(prefix.length) : url;
  };
  return grant;
}

/** Returns `https://edge/t/<token>/`, the part of an address that carries the token. */
function prefixOf(url) {
  const absolute = new URL(url, location.href).href;
  return /^[^/]+\/\/[^/]+\/t\/[^/]+\//.exec(absolute)?.[0] ?? null;
}

/** Tells the platform where `video` stands. Returns a function that stops it. */
export function follow(grant, video) {
  let seq = 0;
  const tell = (event) => {
    seq += 1;
    const body = { position_ms: Math.round(video.currentTime * 1000), event, seq };
    // A beat that is lost costs nothing but seconds of the position.
    call('PUT', `playback/${grant.playback}/position`, body).then((answer) => {
      if (answer.media_url) grant.prefix = prefixOf(answer.media_url) ?? grant.prefix;
      if (answer.drm_token) grant.drmToken = answer.drm_token;
    }).catch(() => {});
  };
  const events = { play: 'play', pause: 'pause', ended: 'finish' };
  for (const [name, event] of Object.entries(events)) video.addEventListener(name, () => tell(event));
  const timer = setInterval(() => { if (!video.paused) tell('heartbeat'); }, BEAT_EVERY_MS);
  return () => clearInterval(timer);
}
