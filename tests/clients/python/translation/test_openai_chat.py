"""The OpenAI SDK's chat completions, whatever the provider speaks."""

import base64
import hashlib
import json

import pytest
import script
from pydantic import BaseModel
from script import INPUT, OUTPUT, TOOLS, model, upstreams

NATIVE = "openai"
TOOL_LIST = [
    {"type": "function", "function": {"name": name, "description": text, "parameters": schema}}
    for name, text, schema in TOOLS
]


def ask(openai, upstream, text, **fields):
    messages = [{"role": "user", "content": text}]
    return openai.chat.completions.create(model=model(upstream), messages=messages, **fields)


def fold(chunks):
    """A stream added up the way applications do: text, calls by index, the finish, the usage."""
    text, calls, finishes, usages = "", {}, [], []
    for chunk in chunks:
        usages += [chunk.usage] if chunk.usage else []
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finishes += [choice.finish_reason] if choice.finish_reason else []
            for piece in choice.delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"id": piece.id, "name": piece.function.name, "arguments": ""})
                call["arguments"] += piece.function.arguments or ""
    return text, [calls[index] for index in sorted(calls)], finishes, usages


def check_usage(usage, upstream):
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (INPUT, OUTPUT, INPUT + OUTPUT)
    details = usage.prompt_tokens_details
    assert ((details and details.cached_tokens) or 0) == script.CACHE_READ[upstream]
    details = usage.completion_tokens_details
    assert ((details and details.reasoning_tokens) or 0) == script.REASONING[upstream]


@upstreams(NATIVE)
def test_a_text(openai, upstream):
    answer = ask(openai, upstream, "Grüezi, 世界 👋")
    assert answer.object == "chat.completion"
    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == "echo: Grüezi, 世界 👋"
    assert choice.finish_reason == "stop"
    check_usage(answer.usage, upstream)


@upstreams(NATIVE)
def test_a_streamed_text(openai, upstream):
    options = {"include_usage": True}
    chunks = list(ask(openai, upstream, "Grüezi, 世界 👋", stream=True, stream_options=options))
    text, calls, finishes, usages = fold(chunks)
    assert (text, calls, finishes) == ("echo: Grüezi, 世界 👋", [], ["stop"])
    assert len({chunk.id for chunk in chunks}) == 1
    [usage] = usages
    check_usage(usage, upstream)


@upstreams(NATIVE)
def test_a_stream_without_usage_has_none(openai, upstream):
    *_, usages = fold(ask(openai, upstream, "hello", stream=True))
    assert usages == []


@upstreams(NATIVE)
def test_instructions_arrive(openai, upstream):
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "script:instructions"},
    ]
    answer = openai.chat.completions.create(model=model(upstream), messages=messages)
    assert answer.choices[0].message.content == "be kind"


@upstreams(NATIVE)
@pytest.mark.parametrize(
    "scene, calls",
    [
        ("tool", [("get_weather", {"city": "Genève"})]),
        ("say-tool", [("get_weather", {"city": "Genève"})]),
        ("parallel", [("get_weather", {"city": "Genève"}), ("get_weather", {"city": "Zürich"})]),
        ("noargs", [("get_time", {})]),
    ],
)
def test_tools_go_round(openai, upstream, scene, calls):
    question = {"role": "user", "content": f"script:{scene} How is it in Geneva?"}
    first = openai.chat.completions.create(model=model(upstream), messages=[question], tools=TOOL_LIST)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls] == calls
    assert len({call.id for call in message.tool_calls}) == len(calls)
    assert (message.content or "") == ("I look it up." if scene == "say-tool" else "")

    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"sunny {index}"}
        for index, call in enumerate(message.tool_calls)
    ]
    messages = [question, message.to_dict(), *results]
    second = openai.chat.completions.create(model=model(upstream), messages=messages, tools=TOOL_LIST)
    said = "; ".join(result["content"] for result in results)
    assert second.choices[0].message.content == f"the tool says: {said}"
    assert second.choices[0].finish_reason == "stop"


@upstreams(NATIVE)
@pytest.mark.parametrize(
    "scene, arguments",
    [("tool", [{"city": "Genève"}]), ("parallel", [{"city": "Genève"}, {"city": "Zürich"}]), ("noargs", [{}])],
)
def test_streamed_tool_calls_add_up(openai, upstream, scene, arguments):
    text, calls, finishes, _ = fold(ask(openai, upstream, f"script:{scene}", stream=True, tools=TOOL_LIST))
    assert text == ""
    assert [json.loads(call["arguments"]) for call in calls] == arguments
    assert all(call["id"] and call["name"] for call in calls)
    assert finishes == ["tool_calls"]


@upstreams(NATIVE)
def test_an_answer_of_a_schema(openai, upstream):
    class Weather(BaseModel):
        city: str
        degrees: int

    messages = [{"role": "user", "content": "script:json"}]
    answer = openai.chat.completions.parse(model=model(upstream), messages=messages, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Genève", degrees=21)


@upstreams(NATIVE)
def test_an_image_arrives_as_it_is(openai, upstream):
    picture = script.picture()
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    content = [{"type": "text", "text": "script:image"}, {"type": "image_url", "image_url": {"url": url}}]
    messages = [{"role": "user", "content": content}]
    answer = openai.chat.completions.create(model=model(upstream), messages=messages)
    assert answer.choices[0].message.content == f"image/png {hashlib.sha256(picture).hexdigest()}"


@upstreams(NATIVE)
def test_an_answer_that_is_too_long(openai, upstream):
    answer = ask(openai, upstream, "script:long", max_completion_tokens=7)
    assert answer.choices[0].finish_reason == "length"
    *_, finishes, _ = fold(ask(openai, upstream, "script:long", max_completion_tokens=7, stream=True))
    assert finishes == ["length"]


@upstreams(NATIVE, among=["openai", "responses-only", "anthropic", "gemini", "bedrock"])
def test_an_answer_that_was_held_back(openai, upstream):
    answer = ask(openai, upstream, "script:refuse")
    assert answer.choices[0].finish_reason == "content_filter"
