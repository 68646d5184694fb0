// The watch page: picks a player, starts it, shows what it does and, when it fails, says why.
//
// Query: `player=dash|hls` (dash); `content=ID` plays a content of the platform; without it the folder that `mcsp serve`
// serves is played, with `licence=URL` (/licence of this server).

import { start } from '/assets/players.js';
import { badges, cells, fetchReport } from '/assets/facts.js';
import { ask, follow } from '/assets/playback.js';

const MANIFESTS = { dash: '/media/manifest.mpd', hls: '/media/master.m3u8' };
const REPORT = '/media/report.json';
const STATS_EVERY_MS = 500;
/** A film with its key and a second of data moves on well within this time. */
const STUCK_MAX_MS = 8000;

/** Every fault in words: what happened, and what to do. */
const MESSAGES = {
  'wrong-key': () => ['The picture could not be decrypted: the licence server gave a wrong key.',
    'Check that the key file belongs to this folder: a new run makes new keys.'],
  'no-key': () => ['The licence holds no key for this film.', 'Check that the key file belongs to this folder.'],
  'bad-licence': () => ['The licence could not be read.', 'The licence server must answer with a ClearKey licence (JSON Web Key Set).'],
  licence: ({ status }) => [`No licence: the licence server ${answered(status)}.`,
    status === 404 ? 'It has no key for this film: check the key file.' : 'Check the licence server and its key file.'],
  manifest: ({ status, url }) => [`The manifest is missing: ${nameOf(url)}, the server ${answered(status)}.`, 'Try the other player, or make the folder again.'],
  'bad-manifest': ({ text }) => ['The manifest could not be read.', text],
  part: ({ status, url }) => [`A part of the film is missing: ${nameOf(url)}, the server ${answered(status)}.`, 'Make the folder again.'],
  decode: ({ text }) => ['The film could not be decoded: a file is damaged, or one of its keys is wrong.', text],
  insecure: () => ['Encrypted films play only from a secure address.', 'Open this page by https, or as http://127.0.0.1 on the machine that serves it.'],
  'no-eme': () => ['This browser cannot play encrypted films.', 'It lacks Encrypted Media Extensions with ClearKey, or they are turned off.'],
  'no-mse': () => ['This browser cannot play this film.', 'It lacks Media Source Extensions.'],
  refused: ({ text, hint }) => [text, hint],
  other: ({ text }) => ['The film stopped.', text],
};

const query = new URLSearchParams(location.search);
const el = (id) => document.getElementById(id);
let running = null;
/** What the platform granted; of a served folder nothing. */
let granted = null;

function answered(status) {
  return status ? `answered ${status}` : 'cannot be reached';
}

function nameOf(url) {
  return url ? new URL(url, location.href).pathname.replace(/^\/media\//, '') : 'unknown';
}

function playerName() {
  return query.get('player') === 'hls' ? 'hls' : 'dash';
}

/** Starts the chosen player on a fresh video element: key sessions of the player before never meet those of the next. */
function run(startTime) {
  stop();
  hideFault();
  const video = freshVideo();
  const session = { video, licensed: false, moved: false, waitingForKey: false, failed: false, time: null, stuckSince_ms: null };
  const fault = (cause) => {
    if (session !== running || session.failed) return;
    session.failed = true;
    showFault(explain(cause, session));
  };
  const source = sourceOf(playerName(), startTime);
  running = session;
  if (granted) session.unfollow = follow(granted, video);
  video.addEventListener('waitingforkey', () => { session.waitingForKey = true; });
  video.addEventListener('seeking', () => { session.time = null; });
  session.stop = start(playerName(), video, source, { fault, licensed: () => { session.licensed = true; } });
  session.timer = setInterval(() => tick(session, fault), STATS_EVERY_MS);
}

/** Returns what the player is given: the platform's addresses, or those of the served folder. */
function sourceOf(name, startTime) {
  if (!granted) return { manifest: MANIFESTS[name], licence: query.get('licence') ?? '/licence', startTime };
  return { manifest: granted.manifests[name], licence: granted.licence, grant: granted, startTime: startTime ?? granted.startTime };
}

function stop() {
  if (!running) return;
  clearInterval(running.timer);
  running.unfollow?.();
  running.stop();
  running = null;
}

function freshVideo() {
  const old = el('stage').querySelector('video');
  const video = old.cloneNode(false);
  video.volume = old.volume;
  video.muted = old.muted;
  // Where the browser wants a click first, the controls wait for it.
  video.autoplay = !matchMedia('(prefers-reduced-motion: reduce)').matches;
  old.replaceWith(video);
  return video;
}

/**
 * A decoder that fails on a licensed film before it showed anything had a wrong key: the key system itself calls every
 * key usable. Later on a damaged file is as likely.
 */
function explain(fault, session) {
  const undecryptable = fault.kind === 'decode' && session.licensed && !session.moved;
  return undecryptable ? { ...fault, kind: 'wrong-key' } : fault;
}

/** Shows how playback stands, and notices a film that has its licence and its data and yet does not move. */
function tick(session, fault) {
  const { video } = session;
  const ahead_s = aheadOf(video);
  showStats(video, ahead_s);
  const moves = session.time !== null && video.currentTime !== session.time;
  session.time = video.currentTime;
  session.moved ||= moves;
  if (moves) session.waitingForKey = false;
  // A film that waits for the viewer's click could go on; one that waits for a key could not.
  const rests = video.ended || (video.paused && video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA);
  if (moves || rests || !session.licensed || ahead_s < 1) {
    session.stuckSince_ms = null;
    return;
  }
  session.stuckSince_ms ??= performance.now();
  if (performance.now() - session.stuckSince_ms < STUCK_MAX_MS) return;
  if (session.waitingForKey) fault({ kind: 'no-key' });
  else if (!session.moved) fault({ kind: 'wrong-key' });
}

function aheadOf({ buffered, currentTime }) {
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) <= currentTime + 0.1 && currentTime <= buffered.end(i)) return buffered.end(i) - currentTime;
  }
  return 0;
}

function showStats(video, ahead_s) {
  const quality = video.getVideoPlaybackQuality();
  const picture = video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : 'no picture yet';
  el('stats').textContent = `${picture} · ${ahead_s.toFixed(1)} s buffered · `
    + `${quality.droppedVideoFrames} of ${quality.totalVideoFrames} frames dropped`;
}

function showFault(fault) {
  const [what, hint] = MESSAGES[fault.kind](fault);
  const strong = Object.assign(document.createElement('strong'), { textContent: what });
  const span = Object.assign(document.createElement('span'), { textContent: hint ?? '' });
  el('error').replaceChildren(strong, span);
  el('error').dataset.kind = fault.kind;
  el('error').hidden = false;
}

function hideFault() {
  el('error').hidden = true;
  el('error').replaceChildren();
}

async function showReport() {
  const report = await fetchReport(REPORT);
  if (!report) return;
  const name = report.source?.name;
  if (name) {
    el('title').textContent = name;
    document.title = `${name} – mcsp`;
  }
  el('badges').replaceChildren(...badges(report).map((text) => Object.assign(document.createElement('li'), { textContent: text })));
  el('variants').replaceChildren(...report.variants.map(row));
  el('report').hidden = report.variants.length === 0;
}

function row(variant) {
  const tr = document.createElement('tr');
  cells(variant).forEach((text, column) => {
    const cell = document.createElement(column === 0 ? 'th' : 'td');
    if (column === 0) cell.scope = 'row';
    if (column > 2) cell.className = 'number';
    cell.textContent = text;
    tr.append(cell);
  });
  return tr;
}

for (const input of el('players').querySelectorAll('input')) {
  input.checked = input.value === playerName();
  input.addEventListener('change', () => {
    query.set('player', input.value);
    history.replaceState(null, '', `?${query}`);
    run(running?.video.currentTime || undefined);
  });
}
if (query.has('content')) {
  try {
    granted = await ask(query.get('content'));
    el('title').textContent = granted.title;
    document.title = `${granted.title} – mcsp`;
    run();
  } catch (error) {
    showFault({ kind: 'refused', text: error.message, hint: error.status === 401 ? 'Sign in on the studio page first.' : '' });
  }
} else {
  showReport();
  run();
}
