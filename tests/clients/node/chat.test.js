import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientWith, upstreamLostItsReader, upstreamSaw, usageRow } from './weir.js';

const client = clientWith();
const messages = [{ role: 'user', content: 'one two three' }];
const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? '').join('');

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test('the demo answers and counts', async () => {
  const answer = await client.chat.completions.create({ model: 'demo/chat', messages });
  assert.ok(answer.choices[0].message.content);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test('parameters and parts reach the upstream as they were sent', async () => {
  const content = [
    { type: 'text', text: 'grüße 👋' },
    { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
  ];
  const response_format = { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'object' } } };
  const sent = { messages: [{ role: 'user', content }], response_format, temperature: 0.5 };
  const answer = await client.chat.completions.create({ model: 'echo', ...sent });
  assert.equal(answer.choices[0].message.content, 'echo: grüße 👋');
  const { body } = await upstreamSaw();
  assert.deepEqual({ ...body, ...sent }, body);
});

test('the demo streams what it answers at once', async () => {
  const whole = await client.chat.completions.create({ model: 'demo/chat', messages });
  const chunks = await collect(await client.chat.completions.create({ model: 'demo/chat', messages, stream: true }));
  assert.equal(textOf(chunks), whole.choices[0].message.content);
  assert.ok(chunks.every((chunk) => !chunk.usage));
});

test('the last chunk carries the usage that was asked for', async () => {
  const options = { stream: true, stream_options: { include_usage: true } };
  const chunks = await collect(await client.chat.completions.create({ model: 'echo', messages, ...options }));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.prompt_tokens, 12);
  assert.ok(chunks.slice(0, -1).every((chunk) => !chunk.usage));
});

test('the stream helper of the SDK works', async () => {
  const completion = await client.chat.completions.stream({ model: 'demo/chat', messages }).finalChatCompletion();
  assert.ok(completion.choices[0].message.content);
});

test('a tool call goes round', async () => {
  const tools = [{ type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } }];
  for (const model of ['demo/chat', 'scripted/tools']) {
    const first = await client.chat.completions.create({ model, messages, tools, tool_choice: 'required' });
    const { message } = first.choices[0];
    assert.equal(message.tool_calls[0].function.name, 'get_weather');
    JSON.parse(message.tool_calls[0].function.arguments);
    const result = { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'sunny' };
    const second = await client.chat.completions.create({ model, messages: [...messages, message, result], tools });
    assert.ok(second.choices[0].message.content);
  }
});

test('a stream that breaks off is an error', async () => {
  const stream = await client.chat.completions.create({ model: 'scripted/cut', messages, stream: true });
  await assert.rejects(collect(stream), (error) => error.name !== 'AssertionError');
});

test('a client that leaves ends the call upstream', async () => {
  const { data, response } = await client.chat.completions
    .create({ model: 'scripted/slow', messages, stream: true })
    .withResponse();
  for await (const chunk of data) {
    assert.equal(chunk.choices[0].delta.content, 'word ');
    break;
  }
  assert.equal(await upstreamLostItsReader(), true);
  assert.equal((await usageRow(response.headers.get('x-request-id'))).status, 'cancelled');
});

test('headers and the usage row tell of the same call', async () => {
  const { response } = await client.chat.completions.create({ model: 'echo', messages }).withResponse();
  assert.equal(response.headers.get('x-weir-provider'), 'scripted');
  assert.equal(response.headers.get('x-weir-attempts'), '1');
  assert.match(response.headers.get('server-timing'), /^weir;dur=[\d.]+, upstream;dur=[\d.]+$/);
  const row = await usageRow(response.headers.get('x-request-id'));
  assert.deepEqual([row.status, row.input_tokens, row.output_tokens, row.cost_usd], ['ok', 12, 7, '0.000022400']);
});
