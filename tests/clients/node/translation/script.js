// Which gateway is under test, and what the scripted upstream (../../dialects) is known to say; ../../python/translation/script.py
// is the same for Python. With DIRECT=1 there is no gateway: each client talks to the upstream in its own dialect.

import { test } from 'node:test';

export const url = process.env.WEIR_URL;
export const key = process.env.WEIR_KEY;
export const direct = process.env.DIRECT === '1';

const MODELS = {
  openai: 'gpt-4.1',
  'responses-only': 'gpt-5.1',
  anthropic: 'claude-sonnet-4-6',
  gemini: 'gemini-3-flash-preview',
  bedrock: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0',
  cohere: 'command-a-plus-05-2026',
};
export const EVERY = Object.keys(MODELS);
/** Upstreams whose models think, and want to see the seal of their thoughts again. */
export const SEALED = ['responses-only', 'anthropic', 'gemini', 'bedrock'];
export const CACHE_WRITE = { openai: 10, 'responses-only': 10, anthropic: 10, bedrock: 10, gemini: 0, cohere: 0 };
export const CACHE_READ = { openai: 30, 'responses-only': 30, anthropic: 30, bedrock: 30, gemini: 30, cohere: 0 };
export const [INPUT, OUTPUT] = [100, 40];
export const GREETING = 'Grüezi, 世界 👋';
/** What arrives of a stream that fails. */
export const TORSO = 'this text never comes to its end';
export const THOUGHT = 'The weather is asked for. I look it up.';

export const model = (upstream) => (direct ? MODELS[upstream] : `${upstream}/${MODELS[upstream]}`);

/** The gateway's URL; directly, the upstream's under a prefix that says whose dialect is meant. */
export const baseURL = (prefix, path = '') => (direct ? `${url}/${prefix}${path}` : `${url}${path}`);

/** One test for each upstream; directly, for that of the client's own dialect alone. */
export function eachUpstream(native, name, body, among = EVERY) {
  for (const upstream of direct ? [native] : among) test(`${name} (${upstream})`, () => body(upstream));
}
