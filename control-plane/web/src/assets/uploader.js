// One upload: a session, parts straight to the object store, completion. It survives a reload: what was begun is kept in this
// browser by the file's name, size and date, and the platform knows which parts it has.

import { get, post, Refusal } from '/assets/api.js';

const KEEP = 'mcsp.uploads';
const PARTS_AT_ONCE = 3;
const TRIES_MAX = 8;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 20_000;
/** Parts whose addresses are asked for at a time. */
const SIGN_AT_ONCE = 50;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** What is remembered of unfinished uploads, by file. */
const memory = {
  all: () => JSON.parse(localStorage.getItem(KEEP) ?? '{}'),
  of: (file) => memory.all()[nameOf(file)] ?? null,
  set(file, value) {
    const all = memory.all();
    if (value) all[nameOf(file)] = value;
    else delete all[nameOf(file)];
    localStorage.setItem(KEEP, JSON.stringify(all));
  },
};

function nameOf({ name, size, lastModified }) {
  return `${name}/${size}/${lastModified}`;
}

/**
 * Uploads a file. `details` are its title, description, visibility and tier. `on.begun(content)` tells its id,
 * `on.progress(bytes)` how much is stored. `signal` pauses it: it rejects, and the next call goes on.
 * Returns the content's id.
 */
export async function upload(file, details, on, signal) {
  const begun = await resumed(file) ?? await begin(file, details);
  memory.set(file, { session: begun.session_id, content: begun.content_id });
  on.begun(begun.content_id);
  const state = await get(`uploads/${begun.session_id}`);
  if (state.state === 'open') {
    await sendMissing(file, begun, state, on, signal);
    await post(`uploads/${begun.session_id}/complete`);
  }
  on.progress(file.size);
  memory.set(file, null);
  return begun.content_id;
}

async function begin(file, details) {
  return post('uploads/session', { file_name: file.name, size_bytes: file.size, ...details });
}

/** Returns what was begun of the file and can go on, or null. */
async function resumed(file) {
  const kept = memory.of(file);
  if (!kept) return null;
  try {
    const { state } = await get(`uploads/${kept.session}`);
    if (state === 'open' || state === 'complete') return { session_id: kept.session, content_id: kept.content };
  } catch (error) {
    if (!(error instanceof Refusal) || (error.status !== 404 && error.status !== 410)) throw error;
  }
  memory.set(file, null);
  return null;
}

async function sendMissing(file, { session_id }, state, on, signal) {
  const missing = [...state.missing];
  let stored = state.bytes;
  const sending = new Map();
  const tell = () => on.progress(stored + [...sending.values()].reduce((sum, bytes) => sum + bytes, 0));
  tell();
  while (missing.length > 0) {
    const numbers = missing.splice(0, SIGN_AT_ONCE);
    const { parts } = await post(`uploads/${session_id}/parts`, { parts: numbers.map((number) => ({ number })) });
    const queue = [...parts];
    const lane = async () => {
      for (let part = queue.shift(); part; part = queue.shift()) {
        await sendPart(file, session_id, part, (bytes) => { sending.set(part.number, bytes); tell(); }, signal);
        sending.delete(part.number);
        stored += part.size_bytes;
        tell();
      }
    };
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, lane));
  }
}

/** Sends one part, again where the network fails, with a new address where the old one ran out. */
async function sendPart(file, session, part, onBytes, signal) {
  let address = part;
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    const status = await put(address, file.slice(part.offset_bytes, part.offset_bytes + part.size_bytes), onBytes, signal);
    if (status >= 200 && status < 300) return;
    if (attempt === TRIES_MAX) throw new Error(`part ${part.number} could not be stored: ${status ? `the store answered ${status}` : 'the store cannot be reached'}`);
    onBytes(0);
    await sleep(Math.min(RETRY_FIRST_MS * 2 ** (attempt - 1), RETRY_MAX_MS) * (0.5 + Math.random() / 2));
    if (status === 403) [address] = (await post(`uploads/${session}/parts`, { parts: [{ number: part.number }] })).parts;
  }
}

/** Puts bytes by XMLHttpRequest, which alone tells of progress. Resolves to the status; 0 where the network failed. */
function put({ method, url, headers }, bytes, onBytes, signal) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    signal.addEventListener('abort', abort, { once: true });
    request.upload.addEventListener('progress', ({ loaded }) => onBytes(loaded));
    request.addEventListener('loadend', () => {
      signal.removeEventListener('abort', abort);
      if (signal.aborted) fail(signal.reason);
      else done(request.status);
    });
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) {
      // The browser sets these by itself.
      if (!['host', 'content-length'].includes(name.toLowerCase())) request.setRequestHeader(name, value);
    }
    request.send(bytes);
  });
}
