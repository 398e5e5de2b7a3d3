import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { baseURL, CACHE_READ, eachUpstream, GREETING, INPUT, key, model, OUTPUT, TORSO } from './script.js';

const client = new OpenAI({ baseURL: baseURL('openai', '/v1'), apiKey: key, maxRetries: 0, timeout: 30_000 });
const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const tools = [{ type: 'function', function: { name: 'get_weather', description: 'The weather', parameters: city } }];
const ask = (upstream, content, fields = {}) =>
  client.chat.completions.create({ model: model(upstream), messages: [{ role: 'user', content }], ...fields });

eachUpstream('openai', 'a text', async (upstream) => {
  const answer = await ask(upstream, GREETING);
  assert.equal(answer.choices[0].message.content, `echo: ${GREETING}`);
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.prompt_tokens, INPUT);
  assert.equal(answer.usage.completion_tokens, OUTPUT);
  assert.equal(answer.usage.prompt_tokens_details?.cached_tokens ?? 0, CACHE_READ[upstream]);
});

eachUpstream('openai', 'a streamed loop through tools', async (upstream) => {
  const question = { role: 'user', content: 'script:parallel How is it in Geneva?' };
  const stream = client.chat.completions.stream({ model: model(upstream), messages: [question], tools });
  const message = await stream.finalMessage();
  assert.deepEqual(message.tool_calls.map((call) => JSON.parse(call.function.arguments).city), ['Genève', 'Zürich']);
  const results = message.tool_calls.map((call) => ({ role: 'tool', tool_call_id: call.id, content: 'sunny' }));
  const messages = [question, message, ...results];
  const answer = await client.chat.completions.create({ model: model(upstream), messages, tools });
  assert.equal(answer.choices[0].message.content, 'the tool says: sunny; sunny');
});

eachUpstream('responses-only', 'a streamed response', async (upstream) => {
  const stream = client.responses.stream({ model: model(upstream), input: GREETING });
  let text = '';
  stream.on('response.output_text.delta', (event) => (text += event.delta));
  const response = await stream.finalResponse();
  assert.equal(text, `echo: ${GREETING}`);
  assert.equal(response.output_text, text);
  assert.equal(response.usage.input_tokens, INPUT);
  assert.equal(response.usage.output_tokens, OUTPUT);
});

eachUpstream('openai', 'an upstream that is busy', async (upstream) => {
  await assert.rejects(ask(upstream, 'script:status-429'), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError, `${error.constructor.name}: ${error.message}`);
    assert.match(error.message, /as the script says/);
    return true;
  });
});

eachUpstream('openai', 'a stream that fails', async (upstream) => {
  let text = '';
  await assert.rejects(async () => {
    for await (const chunk of await ask(upstream, 'script:failed', { stream: true })) {
      assert.ok(!chunk.choices[0]?.finish_reason);
      text += chunk.choices[0]?.delta.content ?? '';
    }
  }, OpenAI.APIError);
  assert.equal(text, TORSO);
});
