"""Errors and broken streams: the exceptions of the client's own SDK, whatever the provider's error looked like."""

import anthropic as anthropic_sdk
import openai as openai_sdk
import pytest
import script
from conftest import gemini_client
from google.genai import errors as gemini_errors
from script import model, through_weir, upstreams

MESSAGE = "as the script says"
TORSO = "this text never comes to its end"
# The upstream's status, which each client must be told by the type of its exception.
REFUSED, BUSY, DOWN = 400, 429, 503


def openai_chat(openai, upstream, text, **fields):
    messages = [{"role": "user", "content": text}]
    return openai.chat.completions.create(model=model(upstream), messages=messages, **fields)


def openai_responses(openai, upstream, text, **fields):
    return openai.responses.create(model=model(upstream), input=text, **fields)


def message(anthropic, upstream, text, **fields):
    messages = [{"role": "user", "content": text}]
    return anthropic.messages.create(model=model(upstream), max_tokens=100, messages=messages, **fields)


OPENAI = [
    (REFUSED, openai_sdk.BadRequestError),
    (BUSY, openai_sdk.RateLimitError),
    (DOWN, openai_sdk.InternalServerError),
]


@upstreams("openai")
@pytest.mark.parametrize("status, kind", OPENAI)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_openai_chat_client(openai, upstream, status, kind, streamed):
    with pytest.raises(kind) as caught:
        openai_chat(openai, upstream, f"script:status-{status}", stream=streamed)
    assert caught.value.status_code == status
    assert MESSAGE in caught.value.message
    assert set(caught.value.body) >= {"message", "type", "param", "code"}


@upstreams("responses-only")
@pytest.mark.parametrize("status, kind", OPENAI)
def test_an_openai_responses_client(openai, upstream, status, kind):
    with pytest.raises(kind) as caught:
        openai_responses(openai, upstream, f"script:status-{status}")
    assert MESSAGE in caught.value.message


@upstreams("anthropic")
@pytest.mark.parametrize(
    "status, kind, word",
    [
        (REFUSED, anthropic_sdk.BadRequestError, "invalid_request_error"),
        (BUSY, anthropic_sdk.RateLimitError, "rate_limit_error"),
        (DOWN, anthropic_sdk.InternalServerError, None),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_anthropic_client(anthropic, upstream, status, kind, word, streamed):
    with pytest.raises(kind) as caught:
        message(anthropic, upstream, f"script:status-{status}", stream=streamed)
    body = caught.value.body
    assert body["type"] == "error"
    assert MESSAGE in body["error"]["message"]
    assert word is None or body["error"]["type"] == word


@upstreams("anthropic", among=["anthropic"])
def test_an_overloaded_provider(anthropic, upstream):
    with pytest.raises(anthropic_sdk.InternalServerError) as caught:
        message(anthropic, upstream, "script:status-529")
    assert caught.value.body["error"]["type"] == "overloaded_error"


@through_weir
def test_an_overloaded_provider_behind_an_openai_client(openai):
    with pytest.raises(openai_sdk.InternalServerError) as caught:
        openai_chat(openai, "anthropic", "script:status-529")
    assert MESSAGE in caught.value.message


@upstreams("gemini")
@pytest.mark.parametrize(
    "status, kind, word",
    [
        (REFUSED, gemini_errors.ClientError, "INVALID_ARGUMENT"),
        (BUSY, gemini_errors.ClientError, "RESOURCE_EXHAUSTED"),
        (DOWN, gemini_errors.ServerError, "UNAVAILABLE"),
    ],
)
def test_a_gemini_client(gemini, upstream, status, kind, word):
    with pytest.raises(kind) as caught:
        gemini.models.generate_content(model=model(upstream), contents=f"script:status-{status}")
    assert (caught.value.code, caught.value.status) == (status, word)
    assert MESSAGE in caught.value.message


@upstreams("openai")
@pytest.mark.parametrize("scene", ["failed", "cut", "broken"])
def test_a_stream_that_fails_raises_in_an_openai_chat_client(openai, upstream, scene):
    if script.DIRECT and scene != "failed":
        pytest.skip("OpenAI's SDK takes the end of a body for the end of the answer")
    texts, finishes = "", []
    with pytest.raises(openai_sdk.APIError):
        for chunk in openai_chat(openai, upstream, f"script:{scene}", stream=True):
            texts += "".join(choice.delta.content or "" for choice in chunk.choices)
            finishes += [choice.finish_reason for choice in chunk.choices if choice.finish_reason]
    assert texts == TORSO
    assert finishes == []


@through_weir
@upstreams("responses-only")
@pytest.mark.parametrize("scene", ["failed", "cut", "broken"])
def test_a_stream_that_fails_says_so_to_an_openai_responses_client(openai, upstream, scene):
    kinds, text = [], ""
    try:
        for event in openai_responses(openai, upstream, f"script:{scene}", stream=True):
            kinds.append(event.type)
            text += event.delta if event.type == "response.output_text.delta" else ""
    except openai_sdk.APIError:
        kinds.append("error")
    assert kinds[-1] in ("error", "response.failed")
    assert text == TORSO
    assert "response.completed" not in kinds


@upstreams("anthropic")
@pytest.mark.parametrize("scene", ["failed", "cut", "broken"])
def test_a_stream_that_fails_raises_in_an_anthropic_client(anthropic, upstream, scene):
    if script.DIRECT and scene != "failed":
        pytest.skip("Anthropic's SDK takes the end of a body for the end of the answer")
    kinds, text = [], ""
    with pytest.raises(anthropic_sdk.APIError):
        for event in message(anthropic, upstream, f"script:{scene}", stream=True):
            kinds.append(event.type)
            text += event.delta.text if event.type == "content_block_delta" else ""
    assert text == TORSO
    assert "message_stop" not in kinds


@through_weir
@upstreams("gemini")
@pytest.mark.parametrize("scene", ["failed", "cut", "broken"])
def test_a_stream_that_fails_raises_in_a_gemini_client(gemini, upstream, scene):
    finishes, text = [], ""
    with pytest.raises(gemini_errors.APIError):
        for chunk in gemini.models.generate_content_stream(model=model(upstream), contents=f"script:{scene}"):
            text += chunk.text or ""
            finishes += [one.finish_reason for one in chunk.candidates or [] if one.finish_reason]
    assert text == TORSO
    assert finishes == []


def test_a_refused_key(openai, anthropic):
    with pytest.raises(openai_sdk.AuthenticationError):
        openai_chat(openai.with_options(api_key="sk-weir-no-such-key"), "openai", "hello")
    with pytest.raises(anthropic_sdk.AuthenticationError) as caught:
        message(anthropic.with_options(api_key="sk-weir-no-such-key"), "anthropic", "hello")
    assert caught.value.body["error"]["type"] == "authentication_error"
    gemini = gemini_client("sk-weir-no-such-key")
    with pytest.raises(gemini_errors.ClientError) as caught:
        gemini.models.generate_content(model=model("gemini"), contents="hello")
    assert caught.value.code in (400, 401)


@through_weir
def test_an_unknown_model(openai, anthropic, gemini):
    with pytest.raises(openai_sdk.NotFoundError):
        openai.responses.create(model="no-such-model", input="hello")
    with pytest.raises(anthropic_sdk.NotFoundError) as caught:
        anthropic.messages.create(model="no-such-model", max_tokens=1, messages=[{"role": "user", "content": "hello"}])
    assert caught.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(gemini_errors.ClientError) as caught:
        gemini.models.generate_content(model="no-such-model", contents="hello")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
