// Where the gateway under test is, and how to reach the parts of it that no SDK knows.

import OpenAI from 'openai';

const { WEIR_URL, WEIR_KEY, WEIR_ADMIN_KEY, WEIR_UPSTREAM_URL } = process.env;

export const url = WEIR_URL;
export const adminKey = WEIR_ADMIN_KEY;

/** The SDK as a user sets it up; retries are off so that every answer is seen. */
export function clientWith(apiKey = WEIR_KEY) {
  return new OpenAI({ baseURL: `${WEIR_URL}/v1`, apiKey, maxRetries: 0, timeout: 30_000 });
}

/** One plain HTTP call; `body` goes out as JSON. */
export function call(method, path, { key = WEIR_KEY, body } = {}) {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
  return fetch(WEIR_URL + path, { method, headers, body: body && JSON.stringify(body) });
}

/** A client with a fresh virtual key of these fields. */
export async function clientWithNewKey(fields) {
  const response = await call('POST', '/admin/v1/keys', { key: adminKey, body: { name: 'a test of Node', ...fields } });
  if (!response.ok) throw new Error(await response.text());
  return clientWith((await response.json()).key);
}

/** What the upstream received last on this path: `{ headers, body }`. */
export async function upstreamSaw(path = '/v1/chat/completions') {
  return (await fetch(`${WEIR_UPSTREAM_URL}/_last?path=${path}`)).json();
}

/** Waits until the reader of the model `slow` has left; `false` when it did not. */
export async function upstreamLostItsReader() {
  return (await fetch(`${WEIR_UPSTREAM_URL}/_gone`)).json();
}

/** The usage row of a request. Rows are written in batches, so a row may take a moment to appear. */
export async function usageRow(id) {
  const deadline = Date.now() + 15_000;
  while (Date.now() < deadline) {
    const page = await (await call('GET', '/v1/usage?from=1h&limit=100')).json();
    const row = page.data.find((candidate) => candidate.id === id);
    if (row) return row;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no usage row for ${id} within 15 s`);
}
