// Vercel's AI SDK: it reads answers and streams with parsers and schemas of its own, and goes through tools by itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { baseURL, direct, eachUpstream, EVERY, GREETING, INPUT, key, model, OUTPUT, SEALED, TORSO } from './script.js';

const openai = createOpenAI({ baseURL: baseURL('openai', '/v1'), apiKey: key });
const anthropic = createAnthropic({ baseURL: baseURL('anthropic', '/v1'), apiKey: key });
const google = createGoogleGenerativeAI({ baseURL: baseURL('gemini', '/v1beta'), apiKey: key });

// Name, the dialect's own upstream, the model, and the options that make it think.
const CLIENTS = [
  ['chat', 'openai', (name) => openai.chat(name), {}],
  ['responses', 'responses-only', (name) => openai.responses(name), { openai: { store: false, reasoningEffort: 'low', reasoningSummary: 'auto' } }],
  ['anthropic', 'anthropic', (name) => anthropic(name), { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } }],
  ['google', 'gemini', (name) => google(name), { google: { thinkingConfig: { includeThoughts: true } } }],
];

const weather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});

for (const [name, native, languageModel, thinking] of CLIENTS) {
  const common = (upstream, prompt) => ({ model: languageModel(model(upstream)), prompt, maxRetries: 0, maxOutputTokens: 4000 });

  eachUpstream(native, `${name}: a text`, async (upstream) => {
    const answer = await generateText(common(upstream, GREETING));
    assert.equal(answer.text, `echo: ${GREETING}`);
    assert.equal(answer.finishReason, 'stop');
    assert.equal(answer.usage.inputTokens, INPUT);
    assert.equal(answer.usage.outputTokens, OUTPUT);
  });

  eachUpstream(native, `${name}: a streamed text`, async (upstream) => {
    const answer = streamText(common(upstream, GREETING));
    let text = '';
    for await (const piece of answer.textStream) text += piece;
    assert.equal(text, `echo: ${GREETING}`);
    assert.equal(await answer.finishReason, 'stop');
    assert.equal((await answer.usage).outputTokens, OUTPUT);
  });

  eachUpstream(native, `${name}: steps through tools`, async (upstream) => {
    const prompt = 'script:parallel How is it in Geneva?';
    const fields = { ...common(upstream, prompt), tools: { get_weather: weather }, stopWhen: stepCountIs(3) };
    const answer = await generateText(fields);
    assert.equal(answer.steps.length, 2);
    assert.equal(answer.steps[0].finishReason, 'tool-calls');
    for (const city of ['Genève', 'Zürich']) assert.ok(answer.text.includes(`sunny in ${city}`), answer.text);
  });

  const sealed = async (upstream) => {
    const prompt = 'script:think How is it in Geneva?';
    const tools = { get_weather: weather };
    const answer = streamText({ ...common(upstream, prompt), tools, stopWhen: stepCountIs(3), providerOptions: thinking });
    assert.ok((await answer.text).includes('sunny in Genève'), await answer.text);
    assert.equal((await answer.steps).length, 2);
  };
  // A chat model of the AI SDK keeps no thoughts; what it cannot send back it does not ask for.
  eachUpstream(native, `${name}: streamed steps through tools with thoughts`, sealed, name === 'chat' ? ['openai'] : SEALED);

  eachUpstream(native, `${name}: an object`, async (upstream) => {
    const schema = z.object({ city: z.string(), degrees: z.number() });
    const answer = await generateObject({ ...common(upstream, 'script:json'), schema });
    assert.deepEqual(answer.object, { city: 'Genève', degrees: 21 });
  });

  eachUpstream(native, `${name}: an error`, async (upstream) => {
    await assert.rejects(generateText(common(upstream, 'script:status-429')), (error) => {
      assert.equal(error.statusCode, 429);
      assert.match(error.message, /as the script says/);
      return true;
    });
  });

  eachUpstream(native, `${name}: a stream that fails`, async (upstream) => {
    const errors = [];
    const answer = streamText({ ...common(upstream, 'script:failed'), onError: ({ error }) => errors.push(error) });
    let text = '';
    for await (const piece of answer.textStream) text += piece;
    assert.equal(text, TORSO);
    assert.equal(errors.length, 1);
  });
}

test('every upstream is known here', () => assert.equal(direct || EVERY.length, direct || 6));
