// The whole platform in a real browser: an account is made, a film is uploaded straight to the object store, every step of its
// way comes over the WebSocket, and what is published plays, encrypted.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { brightness, deviation, launch, playFor, ROOT, startPlatform } from './world.mjs';

const CLIP = join(ROOT, 'fixtures/media/bbb-1080p60.mp4');
const PASSWORD = 'correct horse battery';
/** A ladder of ten seconds takes its time on two cores that do other work beside it. */
const PUBLISHED_WITHIN_MS = 300_000;
/** Where pictures of the pages are kept, when somebody asks for them. */
const PICTURES = process.env.MCSP_PICTURES;

let platform, browser, context;

before(async () => {
  platform = await startPlatform();
  browser = await launch();
  context = await browser.newContext({ viewport: { width: 1100, height: 1000 } });
});

after(async () => {
  await browser?.close();
  await platform?.stop();
});

async function picture(page, name) {
  if (PICTURES) await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
}

/** Opens a page and collects what its console complains of. */
async function openPage(path) {
  const page = await context.newPage();
  page.log = [];
  page.on('console', (message) => {
    if (message.type() === 'error') page.log.push(`${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => page.log.push(error.message));
  await page.goto(`${platform.origin}${path}`);
  return page;
}

/**
 * Opens the watch page of a film that is still being made, again and again until its beginning plays.
 * Returns the page, and what the platform granted.
 */
async function playEarly(content, player) {
  const page = await openPage('/');
  let grant;
  page.on('response', async (response) => {
    if (response.url().endsWith(`/playback/${content}`) && response.ok()) grant = await response.json();
  });
  for (;;) {
    await page.goto(`${platform.origin}/watch?content=${content}&player=${player}`);
    const settled = () => !document.getElementById('error').hidden || document.querySelector('video').currentTime > 0.2;
    await page.waitForFunction(settled, null, { timeout: PUBLISHED_WITHIN_MS, polling: 100 });
    if (!(await shownFault(page))) return { page, grant };
    assert.equal(grant, undefined, `what was granted does not play: ${await shownFault(page)}`);
  }
}

async function shownFault(page) {
  return (await page.locator('#error').isVisible()) ? page.locator('#error').innerText() : '';
}

test('a creator uploads a film, sees each step, and it is published', { timeout: PUBLISHED_WITHIN_MS + 60_000 }, async () => {
  const page = await openPage('/');
  const sent = [];
  page.on('request', (request) => { if (request.method() === 'PUT') sent.push(new URL(request.url()).origin); });
  const messages = [];
  let sockets = 0;
  page.on('websocket', (socket) => {
    const number = ++sockets;
    socket.on('framereceived', ({ payload }) => messages.push({ ...JSON.parse(payload), socket: number }));
  });

  await page.fill('input[name=email]', 'creator@example.org');
  await page.fill('input[name=password]', PASSWORD);
  await page.click('button[value=register]');
  await page.locator('#new').waitFor({ state: 'visible' });

  await page.setInputFiles('input[name=file]', CLIP);
  await page.fill('input[name=title]', 'Big Buck Bunny');
  await page.selectOption('select[name=visibility]', 'public');
  await page.click('#upload-form button');
  const state = page.locator('#asset-state');
  await page.locator('#asset').waitFor({ state: 'visible', timeout: 30_000 });

  const content = await page.locator('#contents li').first().getAttribute('data-content');
  const early = Promise.all(['dash', 'hls'].map((player) => playEarly(content, player)));

  const ended = () => ['PUBLISHED', 'FAILED', 'BLOCKED', 'REVIEW'].includes(document.getElementById('asset-state').dataset.state);
  await page.waitForFunction(ended, null, { timeout: PUBLISHED_WITHIN_MS });
  const reason = await page.locator('#asset-reason').innerText().catch(() => '');
  assert.equal(await state.getAttribute('data-state'), 'PUBLISHED', `${reason} ${await shownFault(page)}`);
  await page.waitForFunction(() => document.querySelectorAll('#steps li[data-state=done]').length >= 8, null, { timeout: 30_000 });
  await picture(page, 'studio');

  assert.ok(sent.length > 0 && sent.every((origin) => origin === platform.objects), `parts went to ${sent}`);
  const states = messages.filter(({ kind }) => kind === 'content.state').map(({ body }) => body.state);
  assert.equal(states.at(-1), 'PUBLISHED', `states by WebSocket: ${states}`);
  // What tells of the connection and of bytes under way carries the place of the notice before it. A socket that is opened again
  // may begin with what the one before has said.
  const stored = messages.filter(({ kind }) => kind !== 'upload.progress' && !kind.startsWith('events.'));
  const cursors = stored.map(({ cursor, socket }) => `${socket}:${cursor}`);
  assert.equal(new Set(cursors).size, cursors.length, 'a message came twice');
  assert.deepEqual(page.log, []);

  // Its beginning was played while the rest was made, and goes on to the end.
  for (const { page: watch, grant } of await early) {
    assert.equal(grant.preview, true, 'it was published before any of it played');
    const over = () => !document.getElementById('error').hidden || document.querySelector('video').currentTime > 9.5;
    await watch.waitForFunction(over, null, { timeout: 60_000, polling: 100 });
    assert.equal(await shownFault(watch), '');
    await watch.close();
  }
});

test('what is published plays, encrypted, by both players', { timeout: 120_000 }, async () => {
  const studio = await openPage('/');
  await studio.locator('#contents a').first().waitFor();
  const content = await studio.locator('#contents li').first().getAttribute('data-content');
  for (const player of ['dash', 'hls']) {
    const page = await openPage(`/watch?content=${content}&player=${player}`);
    const licences = [];
    page.on('response', (response) => { if (response.url().includes('/licence')) licences.push(response.status()); });
    await playFor(page, 3);
    assert.equal(await page.locator('#title').innerText(), 'Big Buck Bunny');
    assert.ok(await page.evaluate(() => document.querySelector('video').mediaKeys !== null), 'the film plays without keys');
    assert.ok(deviation(await brightness(browser, page)) > 5, 'the picture is flat');
    assert.ok(licences.every((status) => status === 200), `licences: ${licences}`);
    if (player === 'dash') await picture(page, 'watch');
    assert.deepEqual(page.log, []);
    await page.close();
  }
});

test('who is not signed in is told so', async () => {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${platform.origin}/watch?content=01890000-0000-7000-8000-000000000000`);
  await page.locator('#error').waitFor({ state: 'visible', timeout: 30_000 });
  assert.match(await page.locator('#error').innerText(), /Sign in/i);
});
