// The manifests as two parsers that we did not write read them, against report.json and the files of the folder.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { Parser } from 'm3u8-parser';
import * as mpd from 'mpd-parser';
import { makeFilm } from './world.mjs';

/** Players add up segment durations: all of them together are off by less than two frames. */
const DURATION_TOLERANCE_S = 0.05;
const BASE = 'http://film/';
let film, report;

before(() => {
  film = makeFilm('cups-720p30-4s.mp4');
  report = JSON.parse(readFileSync(join(film.dir, 'report.json'), 'utf8'));
});

after(() => film?.remove());

function playlist(path) {
  const parser = new Parser();
  parser.push(readFileSync(join(film.dir, path), 'utf8'));
  parser.end();
  return parser.manifest;
}

function named(kind) {
  return report.variants.filter((variant) => variant.kind === kind);
}

/** Checks that segments are all the files of a rendition's folder and last as long as the report says. */
function assertSegments(segments, variant) {
  const folder = join(film.dir, variant.name);
  const files = readdirSync(folder).filter((file) => file.endsWith('.m4s'));
  assert.deepEqual([segments.length, files.length], [variant.segments, variant.segments], `segments of ${variant.name}`);
  assert.deepEqual(new Set(segments.map((segment) => segment.path)), new Set(files.map((file) => `${variant.name}/${file}`)));
  assert.ok(segments.every(({ init, duration }) => duration > 0 && statSync(join(film.dir, init)).size > 0));
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  assert.equal(sum(segments.map(({ path }) => statSync(join(film.dir, path)).size)), variant.bytes, `bytes of ${variant.name}`);
  const duration_s = sum(segments.map(({ duration }) => duration));
  assert.ok(Math.abs(duration_s - variant.duration_s) < DURATION_TOLERANCE_S,
    `${variant.name} lasts ${duration_s} s, the report says ${variant.duration_s} s`);
}

function hlsSegments(path) {
  const from = (uri) => join(dirname(path), uri);
  return playlist(path).segments.map(({ uri, map, duration }) => ({ path: from(uri), init: from(map.uri), duration }));
}

function dashSegments(representation) {
  const from = (uri) => uri.replace(BASE, '');
  return representation.segments.map(({ resolvedUri, map, duration }) => ({ path: from(resolvedUri), init: from(map.resolvedUri), duration }));
}

/** Checks the ContentProtection of a representation or, where all of a set share a key, of its adaptation set. */
function assertProtected(xml, { name, kid }) {
  const set = xml.split('<AdaptationSet').find((part) => part.includes(`<Representation id="${name}"`));
  const [own] = new RegExp(`<Representation id="${name}"[^]*?</Representation>`).exec(set);
  const text = own.includes('<ContentProtection') ? own : set;
  const [, scheme] = /mp4protection:2011" value="(\w+)"/.exec(text);
  const [, defaultKid] = /cenc:default_KID="([0-9a-f-]+)"/.exec(text);
  assert.deepEqual([scheme, defaultKid.replaceAll('-', '')], ['cbcs', kid], `protection of ${name}`);
  const pssh = Buffer.from(/<cenc:pssh>([^<]+)</.exec(text)[1], 'base64');
  assert.ok(pssh.includes('pssh') && pssh.includes(Buffer.from(kid, 'hex')), `the PSSH of ${name} lacks its key id`);
}

test('the multivariant playlist names every rendition as the report does', () => {
  const { playlists, mediaGroups, independentSegments } = playlist('master.m3u8');
  assert.ok(independentSegments);
  assert.equal(playlists.length, named('video').length);
  for (const variant of named('video')) {
    const entry = playlists.find(({ uri }) => dirname(uri) === variant.name);
    assert.ok(entry, `${variant.name} is not in master.m3u8`);
    const { RESOLUTION, CODECS, BANDWIDTH } = entry.attributes;
    assert.deepEqual(RESOLUTION, { width: variant.width_px, height: variant.height_px });
    assert.ok(CODECS.split(',').includes(variant.codec), `${CODECS} lacks ${variant.codec}`);
    assert.ok(BANDWIDTH >= variant.peak_bps, `${BANDWIDTH} is below ${variant.peak_bps}`);
  }
  const sounds = Object.values(mediaGroups.AUDIO).flatMap(Object.values).map(({ uri }) => dirname(uri));
  assert.deepEqual(sounds.sort(), named('audio').map(({ name }) => name).sort());
});

test('every media playlist lists its files and lasts as long as the report says', () => {
  const { playlists, mediaGroups } = playlist('master.m3u8');
  const sounds = Object.values(mediaGroups.AUDIO).flatMap(Object.values);
  for (const { uri } of [...playlists, ...sounds]) {
    const { segments, targetDuration, endList, playlistType } = playlist(uri);
    assertSegments(hlsSegments(uri), report.variants.find(({ name }) => name === dirname(uri)));
    assert.ok(segments.every((segment) => Math.round(segment.duration) <= targetDuration), `target duration of ${uri}`);
    assert.ok(endList && playlistType === 'VOD', `${uri} is not closed`);
    assert.ok(segments.every(({ key }) => key?.method === 'SAMPLE-AES'), `${uri} is not cbcs`);
  }
});

test('the MPD names every rendition as the report does, and the same segments', () => {
  const xml = readFileSync(join(film.dir, 'manifest.mpd'), 'utf8');
  const manifest = mpd.parse(xml, { manifestUri: `${BASE}manifest.mpd` });
  const longest_s = Math.max(...report.variants.map(({ duration_s }) => duration_s));
  assert.ok(Math.abs(manifest.duration - longest_s) < DURATION_TOLERANCE_S, `${manifest.duration} s, the longest rendition has ${longest_s} s`);
  const sounds = Object.values(manifest.mediaGroups.AUDIO).flatMap(Object.values).flatMap((group) => group.playlists);
  const representations = [...manifest.playlists, ...sounds];
  assert.equal(representations.length, report.variants.length);
  for (const variant of report.variants) {
    const found = representations.find(({ segments }) => dashSegments({ segments })[0].path.startsWith(`${variant.name}/`));
    assert.ok(found, `${variant.name} is not in manifest.mpd`);
    assertSegments(dashSegments(found), variant);
    assert.equal(found.attributes.CODECS, variant.codec);
    // @bandwidth counts on minBufferTime (ISO/IEC 23009-1 §5.3.5.4): between the average and the peak.
    const { BANDWIDTH } = found.attributes;
    assert.ok(BANDWIDTH >= variant.average_bps && BANDWIDTH <= variant.peak_bps + 1, `bandwidth ${BANDWIDTH} of ${variant.name}`);
    if (variant.kind === 'video') {
      assert.deepEqual(found.attributes.RESOLUTION, { width: variant.width_px, height: variant.height_px });
    }
    assertProtected(xml, variant);
  }
});
