import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientWith } from './weir.js';

const client = clientWith();

test('embeddings are the same in the default encoding and as floats', async () => {
  const ask = async (options) => (await client.embeddings.create({ model: 'demo/embed', input: 'a', ...options })).data[0].embedding;
  const [packed, plain] = [await ask({}), await ask({ encoding_format: 'float' })];
  assert.equal(packed.length, plain.length);
  assert.ok(packed.every((number, index) => Math.abs(number - plain[index]) < 1e-6));
  assert.ok(Math.abs(Math.hypot(...plain) - 1) < 1e-3);
});

test('models are listed and found', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes('demo/chat') && ids.includes('demo/embed') && ids.includes('echo'));
  assert.equal((await client.models.retrieve('demo/chat')).id, 'demo/chat');
});

test('a legacy completion', async () => {
  const answer = await client.completions.create({ model: 'scripted/echo', prompt: 'once' });
  assert.equal(answer.choices[0].text, 'echo: once');
});
