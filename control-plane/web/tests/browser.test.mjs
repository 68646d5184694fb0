// The watch page in a real browser: what mcsp made plays through both players, and what must not play says why.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { brightness, deviation, launch, licenceServer, makeFilm, open, playFor, serveFilm } from './world.mjs';

const PLAYERS = ['dash', 'hls'];
/** Sixteen zero bytes. */
const NO_KEY = 'AAAAAAAAAAAAAAAAAAAAAA';
let film, server, browser;

before(async () => {
  // Its ladder has standard and high definition: with the sound's, three keys.
  film = makeFilm('bbb-1080p60.mp4');
  server = await serveFilm(film.dir);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  film?.remove();
});

/** Returns the page's message, once there is one. */
async function refusal(page) {
  await page.locator('#error').waitFor({ state: 'visible', timeout: 30_000 });
  return page.locator('#error').innerText();
}

/** A licence for another film. */
const OTHER_LICENCE = { keys: [{ kty: 'oct', kid: 'BBBBBBBBBBBBBBBBBBBBBA', k: NO_KEY }], type: 'temporary' };

/** Returns what the film's own licence server answers, less one key. */
async function licenceWithout(missing, asked) {
  const kids = asked.filter((kid) => kid !== missing);
  if (kids.length === 0) return OTHER_LICENCE;
  const response = await fetch(`${server.origin}/licence`, { method: 'POST', body: JSON.stringify({ kids, type: 'temporary' }) });
  return response.json();
}

/** Returns the key id of the first sound rendition as licences spell it. */
function soundKeyId() {
  const [, path] = /TYPE=AUDIO.*?URI="([^"]+)"/.exec(readFileSync(join(film.dir, 'master.m3u8'), 'utf8'));
  const [, kid] = /KEYID=0x([0-9a-f]{32})/i.exec(readFileSync(join(film.dir, path), 'utf8'));
  return Buffer.from(kid, 'hex').toString('base64url');
}

async function assertPlays(page) {
  await playFor(page, 3);
  const seen = await page.evaluate(() => {
    const video = document.querySelector('video');
    const { totalVideoFrames, droppedVideoFrames, corruptedVideoFrames } = video.getVideoPlaybackQuality();
    return { protected: video.mediaKeys !== null, decoded: totalVideoFrames, shown: totalVideoFrames - droppedVideoFrames,
      corrupted: corruptedVideoFrames ?? 0, audioBytes: video.webkitAudioDecodedByteCount };
  });
  assert.ok(seen.protected, 'the film plays without keys');
  assert.ok(seen.decoded >= 30 && seen.shown >= 15, `${seen.shown} of ${seen.decoded} frames shown`);
  assert.equal(seen.corrupted, 0);
  assert.ok(seen.audioBytes > 0, 'no sound was decoded');
  const picture = await brightness(browser, page);
  assert.ok(deviation(picture) > 5, `the picture is flat (deviation ${deviation(picture).toFixed(1)})`);
}

for (const player of PLAYERS) {
  test(`${player} plays the encrypted film`, async (t) => {
    const licences = [];
    const listen = async (page) => page.on('response', (response) => {
      if (response.url() === `${server.origin}/licence`) licences.push(response.status());
    });
    const page = await open(t, browser, server.origin, { player }, listen);
    await assertPlays(page);
    assert.ok(licences.length > 0 && licences.every((status) => status === 200), `licences: ${licences}`);
    assert.match(await page.locator('#stats').innerText(), /^\d+ × \d+ · [\d.]+ s buffered · \d+ of \d+ frames dropped$/);
    assert.ok(await page.locator('#variants tr').count() >= 2, 'the table of renditions is empty');
    assert.match(await page.locator('#badges').innerText(), /encrypted, cbcs/);
    assert.deepEqual(page.log, []);
  });

  test(`${player} says that the key is wrong`, async (t) => {
    const wrong = (kids) => [200, { keys: kids.map((kid) => ({ kty: 'oct', kid, k: NO_KEY })), type: 'temporary' }];
    const licence = await licenceServer(t, wrong);
    const page = await open(t, browser, server.origin, { player, licence });
    assert.match(await refusal(page), /could not be decrypted: the licence server gave a wrong key/);
  });

  test(`${player} says that the licence lacks the key`, async (t) => {
    const licence = await licenceServer(t, () => [200, OTHER_LICENCE]);
    const page = await open(t, browser, server.origin, { player, licence });
    assert.match(await refusal(page), /The licence holds no key for this film/);
  });

  test(`${player} says that the licence lacks one of the keys`, async (t) => {
    const licence = await licenceServer(t, async (kids) => [200, await licenceWithout(soundKeyId(), kids)]);
    const page = await open(t, browser, server.origin, { player, licence });
    assert.match(await refusal(page), /The licence holds no key for this film/);
  });

  for (const status of [404, 403]) {
    test(`${player} says that there is no licence (${status})`, async (t) => {
      const licence = await licenceServer(t, () => [status, { title: 'no', status }]);
      const page = await open(t, browser, server.origin, { player, licence });
      assert.match(await refusal(page), new RegExp(`No licence: the licence server answered ${status}`));
      assert.equal(await page.evaluate(() => document.querySelector('video').currentTime), 0);
    });
  }

  test(`${player} says that the licence server is away`, async (t) => {
    const licence = 'http://127.0.0.1:9/licence';
    const page = await open(t, browser, server.origin, { player, licence });
    assert.match(await refusal(page), /No licence: the licence server cannot be reached/);
  });

  test(`${player} says that the manifest is missing`, async (t) => {
    const gone = (page) => page.route(/\.(mpd|m3u8)$/, (route) => route.fulfill({ status: 404, body: '' }));
    const page = await open(t, browser, server.origin, { player }, gone);
    assert.match(await refusal(page), /The manifest is missing: (manifest\.mpd|master\.m3u8), the server answered 404/);
  });

  test(`${player} says that a part is missing`, async (t) => {
    const gone = (page) => page.route(/\.m4s$/, (route) => route.fulfill({ status: 404, body: '' }));
    const page = await open(t, browser, server.origin, { player }, gone);
    assert.match(await refusal(page), /A part of the film is missing: .+\.m4s, the server answered 404/);
  });

  test(`${player} says that the address is not secure`, async (t) => {
    const page = await open(t, browser, server.origin.replace('127.0.0.1', 'film.test'), { player });
    assert.match(await refusal(page), /Encrypted films play only from a secure address/);
  });

  test(`${player} says that the browser has no key system`, async (t) => {
    const without = (page) => page.addInitScript(() => {
      const refuse = () => Promise.reject(new DOMException('none', 'NotSupportedError'));
      navigator.requestMediaKeySystemAccess = refuse;
      const { decodingInfo } = MediaCapabilities.prototype;
      MediaCapabilities.prototype.decodingInfo = function (query) {
        return query.keySystemConfiguration ? refuse() : decodingInfo.call(this, query);
      };
    });
    const page = await open(t, browser, server.origin, { player }, without);
    assert.match(await refusal(page), /This browser cannot play encrypted films/);
  });
}

test('the players change over by keyboard and go on where the film was', async (t) => {
  const page = await open(t, browser, server.origin, { player: 'dash' });
  await playFor(page, 2);
  await page.locator('input[value=dash]').focus();
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => document.querySelector('video').readyState >= 3);
  assert.equal(new URL(page.url()).searchParams.get('player'), 'hls');
  assert.ok(await page.evaluate(() => document.querySelector('video').currentTime) > 1, 'the film began anew');
  await playFor(page, 1);
});
