// The studio: sign in, upload, watch each step, look after what one owns; for moderators the review queue.
//
// Query: `content=ID` opens one content.

import { keep, session } from '/assets/account.js';
import { call, get, post, Refusal } from '/assets/api.js';
import { listen } from '/assets/live.js';
import { renditionRows, stepItems } from '/assets/timeline.js';
import { upload } from '/assets/uploader.js';

const el = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
/** States in which nothing more happens by itself. */
const ENDED = ['FAILED', 'BLOCKED'];
const shown = { content: null, cursor: null };
const active = new Set();
let quiet = () => {};

function make(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function showError(error) {
  el('error').textContent = error.message ?? String(error);
  el('error').hidden = false;
  if (error instanceof Refusal && error.status === 401) signedOut();
}

/** Runs what a click asks for, and shows what went wrong. */
function act(task) {
  el('error').hidden = true;
  return task().catch(showError);
}

function signedOut() {
  quiet();
  keep(null);
  for (const id of ['new', 'asset', 'mine', 'queue']) el(id).hidden = true;
  el('badges').replaceChildren();
  el('sign-in').hidden = false;
}

async function signedIn() {
  const me = await get('users/me');
  el('sign-in').hidden = true;
  for (const id of ['new', 'mine']) el(id).hidden = false;
  const out = make('button', { type: 'button', className: 'plain', textContent: 'Sign out' });
  out.addEventListener('click', () => act(async () => {
    await post('auth/logout', { refresh_token: session()?.refresh_token }).finally(signedOut);
  }));
  el('badges').replaceChildren(make('li', { textContent: me.email }), make('li', { textContent: me.role }), make('li', {}, out));
  quiet = listen({ message: heard, state: (connected) => { document.body.dataset.live = String(connected); } });
  await Promise.all([list(true), query.get('content') ? open(query.get('content')) : null]);
  if (['moderator', 'admin'].includes(me.role)) await cases();
}

el('sign-in-form').addEventListener('submit', (event) => {
  event.preventDefault();
  const { email, password } = Object.fromEntries(new FormData(event.target));
  act(async () => {
    if (event.submitter?.value === 'register') {
      await post('auth/register', { email, password, display_name: email.split('@')[0], role: 'creator' });
    }
    const { access_token, refresh_token } = await post('auth/login', { email, password });
    keep({ access_token, refresh_token, email });
    await signedIn();
  });
});

// Uploads.

const form = el('upload-form');

form.file.addEventListener('change', () => {
  const [file] = form.file.files;
  if (file && !form.title.value) form.title.value = file.name.replace(/\.[^.]+$/, '');
});

for (const [name, over] of [['dragover', true], ['dragleave', false], ['drop', false]]) {
  el('drop').addEventListener(name, (event) => {
    event.preventDefault();
    if (over) el('drop').dataset.over = '';
    else delete el('drop').dataset.over;
    if (name !== 'drop' || event.dataTransfer.files.length === 0) return;
    form.file.files = event.dataTransfer.files;
    form.file.dispatchEvent(new Event('change'));
  });
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const { title, description, visibility, tier } = Object.fromEntries(new FormData(form));
  const [file] = form.file.files;
  form.reset();
  send(file, { title, description, visibility, tier });
});

window.addEventListener('beforeunload', (event) => {
  if (active.size > 0) event.preventDefault();
});

/** Uploads a file in a row of its own, with progress, rate and time left; it can be paused and gone on with. */
function send(file, details) {
  const bar = make('progress', { max: file.size, value: 0 });
  const facts = make('span', { textContent: 'beginning' });
  const button = make('button', { type: 'button', className: 'plain', textContent: 'Pause' });
  el('uploads').prepend(make('li', {}, make('span', { textContent: details.title }), bar, facts, button));
  let controller = null;
  const run = async () => {
    controller = new AbortController();
    active.add(file);
    button.textContent = 'Pause';
    const began_ms = performance.now();
    let from = null;
    const progress = (bytes) => {
      from ??= bytes;
      bar.value = bytes;
      const rate = (bytes - from) / Math.max((performance.now() - began_ms) / 1000, 0.5);
      const left = rate > 0 ? ` · ${Math.ceil((file.size - bytes) / rate)} s left` : '';
      facts.textContent = `${(bytes / 1e6).toFixed(1)} of ${(file.size / 1e6).toFixed(1)} MB · ${(rate / 1e6).toFixed(1)} MB/s${left}`;
    };
    try {
      await upload(file, details, { begun: (content) => open(content).then(() => list(true)), progress }, controller.signal);
      facts.textContent = 'uploaded';
      button.remove();
    } catch (error) {
      facts.textContent = controller.signal.aborted ? 'paused' : error.message;
      button.textContent = controller.signal.aborted ? 'Go on' : 'Try again';
    } finally {
      active.delete(file);
    }
  };
  button.addEventListener('click', () => (active.has(file) ? controller.abort(new Error('paused')) : run()));
  run();
}

// One content.

async function open(content) {
  shown.content = content;
  query.set('content', content);
  history.replaceState(null, '', `?${query}`);
  await refresh();
  el('asset').hidden = false;
}

async function refresh() {
  const content = shown.content;
  const [found, timeline] = await Promise.all([get(`content/${content}`), get(`content/${content}/timeline`)]);
  if (content !== shown.content) return;
  el('asset-title').textContent = found.title;
  el('asset-id').textContent = content;
  el('asset-state').textContent = timeline.state.toLowerCase();
  el('asset-state').dataset.state = timeline.state;
  el('asset-reason').textContent = timeline.reason ?? '';
  el('asset-reason').hidden = !timeline.reason;
  el('asset-watch').href = `/watch?content=${encodeURIComponent(content)}`;
  // Its owner can watch what is ready before the rest is.
  el('asset-watch').hidden = !found.published_revision && timeline.state !== 'PROCESSING';
  el('asset-retry').hidden = timeline.state !== 'FAILED';
  el('steps').replaceChildren(...stepItems(timeline.steps));
  el('renditions').replaceChildren(...renditionRows(timeline.renditions, (name) => act(async () => {
    await post(`content/${content}/renditions/${encodeURIComponent(name)}/retry`);
    await refresh();
  })));
}

el('asset-retry').addEventListener('click', () => act(async () => {
  await post(`content/${shown.content}/retry`);
  await refresh();
}));

el('asset-delete').addEventListener('click', () => act(async () => {
  if (!confirm(`Delete “${el('asset-title').textContent}” for ever?`)) return;
  await call('DELETE', `content/${shown.content}`);
  el('asset').hidden = true;
  shown.content = null;
  query.delete('content');
  history.replaceState(null, '', `?${query}`);
  await list(true);
}));

async function list(fromTop) {
  const cursor = fromTop || !shown.cursor ? '' : `&cursor=${encodeURIComponent(shown.cursor)}`;
  const { items, next_cursor } = await get(`content?limit=20${cursor}`);
  const rows = items.map((found) => {
    const link = make('a', { href: `?content=${found.id}`, textContent: found.title });
    link.addEventListener('click', (event) => {
      event.preventDefault();
      act(() => open(found.id));
    });
    const state = make('span', { className: 'state', textContent: found.state.toLowerCase() });
    state.dataset.state = found.state;
    const row = make('li', {}, link, state);
    row.dataset.content = found.id;
    return row;
  });
  if (fromTop) el('contents').replaceChildren(...rows);
  else el('contents').append(...rows);
  shown.cursor = next_cursor ?? null;
  el('more').hidden = !shown.cursor;
}

el('more').addEventListener('click', () => act(() => list(false)));

// What happens.

let pending = 0;

/** Takes a message; many at once lead to one look. */
function heard({ kind, content, body }) {
  if (kind === 'events.missed') {
    act(() => Promise.all([list(true), shown.content ? refresh() : null]));
    return;
  }
  if (kind === 'content.state') {
    for (const row of el('contents').children) {
      if (row.dataset.content !== content) continue;
      const state = row.querySelector('.state');
      state.textContent = body.state.toLowerCase();
      state.dataset.state = body.state;
    }
  }
  if (!shown.content || content !== shown.content || kind === 'upload.progress' || pending) return;
  pending = setTimeout(() => {
    pending = 0;
    refresh().catch((error) => { if (!ENDED.includes(el('asset-state').dataset.state)) showError(error); });
  }, 100);
}

// The review queue.

async function cases() {
  const { items } = await get('moderation/cases?limit=50');
  el('queue').hidden = items.length === 0;
  el('cases').replaceChildren(...items.map(caseRow));
}

function caseRow(found) {
  const decide = (approve) => act(async () => {
    const reason = prompt(approve ? 'Why may it be seen?' : 'Why not? Its uploader reads this.');
    if (!reason) return;
    await post(`moderation/cases/${found.content}/decision`, { approve, reason });
    await cases();
  });
  const button = (label, approve) => {
    const node = make('button', { type: 'button', className: 'plain', textContent: label });
    node.addEventListener('click', () => decide(approve));
    return node;
  };
  const title = `${found.title} · ${found.kind} · ${found.labels.join(', ')}`;
  return make('li', {}, make('span', { textContent: title }), button('Approve', true), button('Refuse', false));
}

if (session()) act(signedIn);
else signedOut();
