"""Loops through tools with thoughts: each provider refuses the second turn unless its own seal comes back where it was.

The scripted upstream checks that as its provider does, so a second answer is the proof.
"""

import copy
import json

import pytest
from google.genai import types
from script import SEALED, model, upstreams
from test_anthropic import TOOL_LIST as ANTHROPIC_TOOLS
from test_anthropic import results_of as anthropic_results
from test_gemini import FUNCTIONS, user
from test_openai_chat import TOOL_LIST as CHAT_TOOLS
from test_openai_responses import TOOL_LIST as RESPONSES_TOOLS
from test_openai_responses import calls_of
from test_openai_responses import results_of as responses_results

THOUGHT = "The weather is asked for. I look it up."
QUESTION = {"role": "user", "content": "script:think How is it in Geneva?"}
THINKING = {"type": "enabled", "budget_tokens": 1024}
BOTH_WAYS = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@upstreams("anthropic", among=[*SEALED, "openai", "cohere"])
@BOTH_WAYS
def test_an_anthropic_client(anthropic, upstream, streamed):
    fields = {"model": model(upstream), "max_tokens": 4000, "thinking": THINKING, "tools": ANTHROPIC_TOOLS}
    if streamed:
        with anthropic.messages.stream(messages=[QUESTION], **fields) as stream:
            first = stream.get_final_message()
    else:
        first = anthropic.messages.create(messages=[QUESTION], **fields)
    assert first.stop_reason == "tool_use"
    if upstream in SEALED:
        assert [block.type for block in first.content] == ["thinking", "tool_use"]
        assert first.content[0].thinking == THOUGHT
        assert first.content[0].signature
    messages = [QUESTION, {"role": "assistant", "content": first.content}, anthropic_results(first)]
    second = anthropic.messages.create(messages=messages, **fields)
    assert second.content[-1].text == "the tool says: sunny 0"


def folded(chunks):
    """The assistant's message out of a stream, with the members that carry thoughts, as agents keep it."""
    message = {"role": "assistant", "content": "", "tool_calls": [], "reasoning_details": []}
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta.to_dict()
            message["content"] += delta.get("content") or ""
            for piece in delta.get("tool_calls") or []:
                merge(message["tool_calls"], piece, ["index"])
            for piece in delta.get("reasoning_details") or []:
                merge(message["reasoning_details"], piece, ["index", "type"])
    message["content"] = message["content"] or None
    return {name: value for name, value in message.items() if value != []}


def merge(items, piece, key):
    """Adds a fragment to the item that agrees with it in the members of the key: texts grow, the rest is set."""
    same = [piece.get(name) for name in key]
    known = next((item for item in items if [item.get(name) for name in key] == same), None)
    if known is None:
        items.append(copy.deepcopy(piece))
    else:
        grow(known, piece)


def grow(known, piece):
    for name, value in piece.items():
        if isinstance(value, dict) and isinstance(known.get(name), dict):
            grow(known[name], value)
        elif name in ("text", "summary", "data", "arguments") and isinstance(known.get(name), str):
            known[name] += value or ""
        elif value is not None:
            known[name] = value


@upstreams("openai", among=["openai", *SEALED])
@BOTH_WAYS
def test_an_openai_chat_client(openai, upstream, streamed):
    # The model that answers directly does not think.
    effort = {} if upstream == "openai" else {"reasoning_effort": "low"}
    fields = {"model": model(upstream), "tools": CHAT_TOOLS} | effort
    first = openai.chat.completions.create(messages=[QUESTION], stream=streamed, **fields)
    message = folded(first) if streamed else first.choices[0].message.to_dict()
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Genève"}
    if upstream in SEALED and upstream != "gemini":
        assert message["reasoning_details"], "thoughts that the client can send back"
    if not streamed and upstream in ("anthropic", "bedrock"):
        assert THOUGHT in (message.get("reasoning_content") or message.get("reasoning") or "")
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sunny 0"}
    second = openai.chat.completions.create(messages=[QUESTION, message, result], **fields)
    assert second.choices[0].message.content == "the tool says: sunny 0"


@upstreams("responses-only", among=SEALED)
@BOTH_WAYS
def test_an_openai_responses_client_that_keeps_the_conversation(openai, upstream, streamed):
    fields = {
        "model": model(upstream),
        "tools": RESPONSES_TOOLS,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    first = openai.responses.create(input=[QUESTION], stream=streamed, **fields)
    if streamed:
        first = list(first)[-1].response
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert first.output[0].summary[0].text == THOUGHT
    assert first.output[0].encrypted_content
    given = [QUESTION, *[item.to_dict() for item in first.output], *responses_results(calls_of(first))]
    second = openai.responses.create(input=given, **fields)
    assert second.output_text == "the tool says: sunny 0"


@upstreams("responses-only", among=SEALED)
def test_an_openai_responses_client_that_names_the_last_response(openai, upstream):
    fields = {"model": model(upstream), "tools": RESPONSES_TOOLS, "reasoning": {"effort": "low", "summary": "auto"}}
    first = openai.responses.create(input=[QUESTION], **fields)
    given = responses_results(calls_of(first))
    second = openai.responses.create(input=given, previous_response_id=first.id, **fields)
    assert second.output_text == "the tool says: sunny 0"


@upstreams("gemini", among=SEALED)
@BOTH_WAYS
def test_a_gemini_client(gemini, upstream, streamed):
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=FUNCTIONS)],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=1024),
    )
    question = user(QUESTION["content"])
    if streamed:
        chunks = gemini.models.generate_content_stream(model=model(upstream), contents=[question], config=config)
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or []]
        parts = [part for part in parts if part.text != ""]
    else:
        answer = gemini.models.generate_content(model=model(upstream), contents=[question], config=config)
        parts = answer.candidates[0].content.parts
    assert "".join(part.text for part in parts if part.thought and part.text) == THOUGHT
    [call] = [part.function_call for part in parts if part.function_call]
    response = types.FunctionResponse(id=call.id, name=call.name, response={"result": "sunny 0"})
    contents = [
        question,
        types.Content(role="model", parts=parts),
        types.Content(role="user", parts=[types.Part(function_response=response)]),
    ]
    second = gemini.models.generate_content(model=model(upstream), contents=contents, config=config)
    assert "sunny 0" in second.text


@upstreams("anthropic", among=["anthropic"])
def test_a_thought_that_was_changed_is_refused(anthropic, upstream):
    """Proof that the scripted upstream checks, and that the gateway does not repair what a caller broke."""
    import anthropic as sdk

    fields = {"model": model(upstream), "max_tokens": 4000, "thinking": THINKING, "tools": ANTHROPIC_TOOLS}
    first = anthropic.messages.create(messages=[QUESTION], **fields)
    content = [block.to_dict() for block in first.content]
    content[0]["thinking"] += " Or not."
    messages = [QUESTION, {"role": "assistant", "content": content}, anthropic_results(first)]
    with pytest.raises(sdk.BadRequestError, match="signature"):
        anthropic.messages.create(messages=messages, **fields)
