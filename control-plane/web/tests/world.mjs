// What the tests share: a film that `mcsp process` made, served by `mcsp serve`, and a real browser to watch it in.
//
// MCSP_BIN names the binary (target/debug/mcsp), CHROMIUM the browser (/usr/bin/chromium).

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
const BINARY = process.env.MCSP_BIN ?? join(ROOT, 'target/debug/mcsp');
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** What a headless browser on a test machine needs: no GPU, no network of its own, playback without a click. */
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--autoplay-policy=no-user-gesture-required',
  '--disable-features=MediaRouter,OptimizationHints', '--host-resolver-rules=MAP film.test 127.0.0.1'];

/** Processes a clip of fixtures/media, encrypted by cbcs. Returns { dir, remove }. */
export function makeFilm(clip) {
  if (!existsSync(BINARY)) throw new Error(`${BINARY} is missing: run \`cargo build -p mcsp -p mcsp-media\``);
  const home = mkdtempSync(join(tmpdir(), 'mcsp-web-'));
  const dir = join(home, 'film');
  const args = ['process', join(ROOT, 'fixtures/media', clip), '--out', dir, '--scheme', 'cbcs', '--preset', 'ultrafast'];
  const { status, stderr } = spawnSync(BINARY, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`mcsp ${args.join(' ')} ended with ${status}: ${stderr}`);
  return { dir, remove: () => rmSync(home, { recursive: true, force: true }) };
}

/** Serves a film. Returns { origin, stop } once the server says where it listens. */
export async function serveFilm(dir) {
  const server = spawn(BINARY, ['serve', dir, '--listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((done) => server.once('exit', done));
  for await (const line of createInterface({ input: server.stdout })) {
    const found = /^watch at (http:\/\/[^\s/]+)/.exec(line);
    if (found) return { origin: found[1], stop: () => { server.kill('SIGINT'); return ended; } };
  }
  throw new Error(`mcsp serve ended with ${await ended} before it listened`);
}

/** Returns a port that nobody has right now. */
async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/**
 * Starts `mcsp up` on an empty folder. `settings` are further environment variables.
 * Returns { origin, objects, data, stop } once it is ready; stopping removes the folder.
 */
export async function startPlatform(settings = {}) {
  const home = mkdtempSync(join(tmpdir(), 'mcsp-up-'));
  const data = join(home, 'data');
  const [http, objects] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const given = process.env;
  const endpoint = { MCSP__OBJECTS__ENDPOINT__LISTEN: given.MCSP__OBJECTS__ENDPOINT__LISTEN ?? objects };
  const env = { ...given, MCSP__HTTP__LISTEN: http, ...endpoint, MCSP__PLAN__PRESET: 'ultrafast', ...settings };
  const node = spawn(BINARY, ['up', '--data', data], { stdio: ['ignore', 'pipe', 'pipe'], env });
  let log = '';
  node.stderr.on('data', (text) => { log = (log + text).slice(-20_000); });
  const ended = new Promise((done) => node.once('exit', (code) => done(code)));
  const stop = async () => {
    node.kill('SIGTERM');
    const code = await ended;
    rmSync(home, { recursive: true, force: true });
    return { code, log };
  };
  for await (const line of createInterface({ input: node.stdout })) {
    if (line.startsWith('health')) {
      // What it says later is read, so that its pipe never fills.
      node.stdout.resume();
      // On S3 the film goes to that server.
      return { origin: `http://${http}`, objects: given.MCSP__OBJECTS__PUBLIC_URL ?? `http://${objects}`, data, stop };
    }
  }
  throw new Error(`mcsp up ended with ${await ended} before it was up: ${log}`);
}

/** Starts a licence server that lives as long as test `t`. `answer(kids)` gives [status, body] or a promise. Returns its URL. */
export async function licenceServer(t, answer) {
  const server = createServer(async (request, response) => {
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('access-control-allow-headers', '*');
    if (request.method === 'OPTIONS') return response.end();
    let text = '';
    for await (const chunk of request) text += chunk;
    const [status, body] = await answer(JSON.parse(text).kids);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => { server.close(); server.closeAllConnections(); });
  return `http://127.0.0.1:${server.address().port}/licence`;
}

export async function launch() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS, ignoreDefaultArgs: ['--mute-audio'] });
}

/** Opens the watch page for test `t`. `query` are its parameters; `prepare(page)` runs before it loads. */
export async function open(t, browser, origin, query, prepare = async () => {}) {
  const page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
  t.after(() => page.close());
  const log = [];
  page.on('console', (message) => { if (message.type() === 'error') log.push(message.text()); });
  page.on('pageerror', (error) => log.push(error.message));
  await prepare(page);
  await page.goto(`${origin}/?${new URLSearchParams(query)}`);
  return Object.assign(page, { log });
}

/** Waits until the film has moved on by `seconds`, or fails with what the page says. */
export async function playFor(page, seconds) {
  const from = await page.evaluate(() => document.querySelector('video').currentTime);
  const moved = ([start, by]) => !document.getElementById('error').hidden || document.querySelector('video').currentTime >= start + by;
  await page.waitForFunction(moved, [from, seconds], { timeout: 40_000, polling: 100 });
  const fault = await page.locator('#error').innerText();
  if (fault) throw new Error(`the page says: ${fault} (${page.log.join('; ')})`);
}

/** Returns the brightness of the picture on screen, 32 × 18 samples. A canvas gets only black from protected video. */
export async function brightness(browser, page) {
  await page.evaluate(() => { document.querySelector('video').controls = false; });
  const png = await page.locator('video').screenshot();
  const blank = await browser.newPage();
  try {
    return await blank.evaluate(async (source) => {
      const image = new Image();
      image.src = source;
      await image.decode();
      const [width, height] = [32, 18];
      const context = new OffscreenCanvas(width, height).getContext('2d');
      context.drawImage(image, 0, 0, width, height);
      const { data } = context.getImageData(0, 0, width, height);
      return Array.from({ length: width * height }, (_, i) => 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
    }, `data:image/png;base64,${png.toString('base64')}`);
  } finally {
    await blank.close();
  }
}

export function deviation(values) {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
}
