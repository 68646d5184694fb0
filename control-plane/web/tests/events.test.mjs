// The documents of the event catalogue as software reads them that we did not write: the AsyncAPI document against
// AsyncAPI's own JSON Schema, and every released sample against its published schema.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import Ajv from 'ajv';
import Ajv2020 from 'ajv/dist/2020.js';

const ROOT = new URL('../../..', import.meta.url).pathname;
const GENERATED = join(ROOT, 'docs/generated');
const SAMPLES = join(ROOT, 'fixtures/events');
const ASYNCAPI_SCHEMA = createRequire(import.meta.url)('@asyncapi/specs/schemas/3.0.0-without-$id.json');

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
const asyncapi = json(join(GENERATED, 'asyncapi.json'));
const names = readdirSync(SAMPLES);

/** Follows a reference within the document, as a reader of it would. */
function follow({ $ref }) {
  assert.ok($ref.startsWith('#/'), `${$ref} does not lead into the document`);
  const found = $ref.slice(2).split('/').reduce((value, part) => value?.[part], asyncapi);
  assert.ok(found, `${$ref} leads nowhere`);
  return found;
}

/** Compiles a schema, and refuses what its draft does not know. Formats of ours, such as `bucket`, are annotations. */
function validator(schema) {
  return new Ajv2020({ strict: true, allErrors: true, validateFormats: false, keywords: ['x-cloudevents-type'] }).compile(schema);
}

test('the AsyncAPI document is one', () => {
  const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(ASYNCAPI_SCHEMA);
  assert.ok(validate(asyncapi), JSON.stringify(validate.errors?.slice(0, 5), null, 2));
  const [[name, channel]] = Object.entries(asyncapi.channels);
  const bindings = { kafka: { ...channel.bindings.kafka, partitions: 'many' } };
  assert.equal(validate({ ...asyncapi, channels: { [name]: { ...channel, bindings } } }), false, 'text was taken for a number of partitions');
});

test('every operation leads to a channel, a message and the schema of its payload', () => {
  assert.equal(Object.keys(asyncapi.channels).length, names.length);
  for (const [name, operation] of Object.entries(asyncapi.operations)) {
    const channel = follow(operation.channel);
    assert.ok(name.endsWith(channel.address), `${name} speaks of ${channel.address}`);
    for (const message of operation.messages) {
      const { headers, payload } = follow(follow(message));
      assert.equal(follow(headers).type, 'object');
      assert.equal(json(join(GENERATED, payload.$ref)).type, 'object');
    }
  }
});

test('released samples are what the schemas and the document say', () => {
  const headers = validator(asyncapi.components.schemas.Headers);
  for (const name of names) {
    const sample = json(join(SAMPLES, name));
    const schema = json(join(GENERATED, 'schemas', name));
    const payload = validator(schema);
    assert.ok(payload(sample.payload), `${name}: ${JSON.stringify(payload.errors)}`);
    assert.ok(headers(sample.headers), `${name}: ${JSON.stringify(headers.errors)}`);
    assert.equal(sample.headers.ce_type, schema['x-cloudevents-type']);
    const [message] = Object.values(asyncapi.channels[sample.topic].messages).map(follow);
    assert.equal(message.name, sample.headers.ce_type);
    assert.equal(payload({ ...sample.payload, content: 1, user: 1 }), false, `${name}: a number was taken for an id`);
  }
});
