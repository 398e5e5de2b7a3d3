import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { baseURL, CACHE_READ, CACHE_WRITE, eachUpstream, EVERY, GREETING, INPUT, key, model, OUTPUT, SEALED, THOUGHT, TORSO } from './script.js';

const client = new Anthropic({ baseURL: baseURL('anthropic'), apiKey: key, maxRetries: 0, timeout: 30_000 });
const input_schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = [{ name: 'get_weather', description: 'The weather', input_schema }];
const ask = (upstream, content, fields = {}) =>
  client.messages.create({ model: model(upstream), max_tokens: 1000, messages: [{ role: 'user', content }], ...fields });

function checkUsage(usage, upstream) {
  assert.equal(usage.input_tokens, INPUT - CACHE_READ[upstream] - CACHE_WRITE[upstream]);
  assert.equal(usage.cache_read_input_tokens ?? 0, CACHE_READ[upstream]);
  assert.equal(usage.cache_creation_input_tokens ?? 0, CACHE_WRITE[upstream]);
  assert.equal(usage.output_tokens, OUTPUT);
}

eachUpstream('anthropic', 'a text', async (upstream) => {
  const answer = await ask(upstream, GREETING);
  assert.deepEqual(answer.content.map((block) => block.text), [`echo: ${GREETING}`]);
  assert.equal(answer.stop_reason, 'end_turn');
  checkUsage(answer.usage, upstream);
});

eachUpstream('anthropic', 'a streamed text', async (upstream) => {
  const messages = [{ role: 'user', content: GREETING }];
  const stream = client.messages.stream({ model: model(upstream), max_tokens: 1000, messages });
  let text = '';
  stream.on('text', (delta) => (text += delta));
  const message = await stream.finalMessage();
  assert.equal(text, `echo: ${GREETING}`);
  checkUsage(message.usage, upstream);
});

const thinks = async (upstream) => {
  const question = { role: 'user', content: 'script:think How is it in Geneva?' };
  const thinking = { type: 'enabled', budget_tokens: 1024 };
  const fields = { model: model(upstream), max_tokens: 4000, thinking, tools };
  const first = await client.messages.stream({ ...fields, messages: [question] }).finalMessage();
  assert.equal(first.stop_reason, 'tool_use');
  const call = first.content.at(-1);
  assert.deepEqual(call.input, { city: 'Genève' });
  if (SEALED.includes(upstream)) assert.equal(first.content[0].thinking, THOUGHT);
  const result = { type: 'tool_result', tool_use_id: call.id, content: 'sunny' };
  const messages = [question, { role: 'assistant', content: first.content }, { role: 'user', content: [result] }];
  const second = await client.messages.create({ ...fields, messages });
  assert.equal(second.content.at(-1).text, 'the tool says: sunny');
};
eachUpstream('anthropic', 'a loop through tools with thoughts', thinks, EVERY);

eachUpstream('anthropic', 'an upstream that is busy', async (upstream) => {
  await assert.rejects(ask(upstream, 'script:status-429'), (error) => {
    assert.ok(error instanceof Anthropic.RateLimitError, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.error.error.type, 'rate_limit_error');
    return true;
  });
});

eachUpstream('anthropic', 'a stream that fails', async (upstream) => {
  let text = '';
  await assert.rejects(async () => {
    for await (const event of await ask(upstream, 'script:failed', { stream: true })) {
      assert.notEqual(event.type, 'message_stop');
      text += event.delta?.text ?? '';
    }
  }, Anthropic.APIError);
  assert.equal(text, TORSO);
});

eachUpstream('anthropic', 'tokens are counted', async (upstream) => {
  const messages = [{ role: 'user', content: GREETING }];
  const counted = await client.messages.countTokens({ model: model(upstream), messages });
  assert.ok(counted.input_tokens > 0);
});
