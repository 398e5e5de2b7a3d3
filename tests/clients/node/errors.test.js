import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { clientWith, clientWithNewKey } from './weir.js';

const client = clientWith();
const messages = [{ role: 'user', content: 'hello' }];
const chat = (caller, fields = {}) => caller.chat.completions.create({ model: 'demo/chat', messages, ...fields });

function check(name, call, type, fields) {
  test(name, async () => {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof type, `${error.constructor.name}: ${error.message}`);
      for (const [field, value] of Object.entries(fields)) assert.equal(error[field], value, field);
      assert.ok(error.requestID);
      return true;
    });
  });
}

check('a bad key', () => chat(clientWith('sk-weir-no-such-key')), OpenAI.AuthenticationError, { code: 'invalid_api_key' });
check('an unknown model', () => chat(client, { model: 'demo/chatt' }), OpenAI.NotFoundError, { code: 'model_not_found' });
check('a wrong type', () => chat(client, { messages: 'hello' }), OpenAI.BadRequestError, { param: 'messages' });
check('an error of the upstream', () => chat(client, { model: 'scripted/status-422' }), OpenAI.UnprocessableEntityError, {
  code: 'scripted_error',
});
check('an upstream that is down', () => chat(client, { model: 'scripted/status-503' }), OpenAI.InternalServerError, {
  status: 503,
});

test('a rate limit says when to come back', async () => {
  const limited = await clientWithNewKey({ limits: { rpm: 1 } });
  await chat(limited);
  await assert.rejects(chat(limited), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.code, 'rate_limit_exceeded');
    assert.ok(Number(error.headers.get('retry-after')) >= 1);
    return true;
  });
});
