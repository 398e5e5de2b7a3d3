"""The Anthropic SDK's messages, whatever the provider speaks."""

import base64
import hashlib

import pytest
import script
from script import ANSWER, INPUT, OUTPUT, TOOLS, model, upstreams

NATIVE = "anthropic"
TOOL_LIST = [{"name": name, "description": text, "input_schema": schema} for name, text, schema in TOOLS]


def ask(anthropic, upstream, text, **fields):
    messages = [{"role": "user", "content": text}]
    return anthropic.messages.create(model=model(upstream), max_tokens=1000, messages=messages, **fields)


def check_usage(usage, upstream):
    read, write = script.CACHE_READ[upstream], script.CACHE_WRITE[upstream]
    assert usage.input_tokens == INPUT - read - write
    assert (usage.cache_read_input_tokens or 0) == read
    assert (usage.cache_creation_input_tokens or 0) == write
    assert usage.output_tokens == OUTPUT


def results_of(message):
    calls = [block for block in message.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"sunny {index}"} for index, call in enumerate(calls)
    ]
    return {"role": "user", "content": results}


@upstreams(NATIVE)
def test_a_text(anthropic, upstream):
    answer = ask(anthropic, upstream, "Grüezi, 世界 👋")
    assert (answer.type, answer.role) == ("message", "assistant")
    [block] = answer.content
    assert (block.type, block.text) == ("text", "echo: Grüezi, 世界 👋")
    assert answer.stop_reason == "end_turn"
    check_usage(answer.usage, upstream)


@upstreams(NATIVE)
def test_a_streamed_text(anthropic, upstream):
    messages = [{"role": "user", "content": "Grüezi, 世界 👋"}]
    with anthropic.messages.stream(model=model(upstream), max_tokens=1000, messages=messages) as stream:
        assert "".join(stream.text_stream) == "echo: Grüezi, 世界 👋"
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["text"]
    assert final.stop_reason == "end_turn"
    check_usage(final.usage, upstream)


@upstreams(NATIVE)
def test_blocks_of_a_stream_are_open_one_at_a_time(anthropic, upstream):
    open_block, kinds = None, []
    for event in ask(anthropic, upstream, "script:parallel", stream=True, tools=TOOL_LIST):
        kinds.append(event.type)
        if event.type == "content_block_start":
            assert open_block is None
            open_block = event.index
        elif event.type == "content_block_delta":
            assert event.index == open_block
        elif event.type == "content_block_stop":
            open_block = None
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]


@upstreams(NATIVE)
def test_instructions_arrive(anthropic, upstream):
    answer = ask(anthropic, upstream, "script:instructions", system=[{"type": "text", "text": "be kind"}])
    assert answer.content[0].text == "be kind"


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
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_tools_go_round(anthropic, upstream, scene, calls, streamed):
    question = {"role": "user", "content": f"script:{scene} How is it in Geneva?"}
    fields = {"model": model(upstream), "max_tokens": 1000, "tools": TOOL_LIST}
    if streamed:
        with anthropic.messages.stream(messages=[question], **fields) as stream:
            first = stream.get_final_message()
    else:
        first = anthropic.messages.create(messages=[question], **fields)
    assert first.stop_reason == "tool_use"
    made = [block for block in first.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in made] == calls
    texts = [block.text for block in first.content if block.type == "text"]
    assert texts == (["I look it up."] if scene == "say-tool" else [])

    messages = [question, {"role": "assistant", "content": first.content}, results_of(first)]
    second = anthropic.messages.create(messages=messages, **fields)
    assert second.content[0].text == "the tool says: " + "; ".join(f"sunny {index}" for index in range(len(calls)))
    assert second.stop_reason == "end_turn"


@upstreams(NATIVE)
def test_an_answer_of_a_schema(anthropic, upstream):
    form = {"format": {"type": "json_schema", "schema": ANSWER}}
    answer = ask(anthropic, upstream, "script:json", output_config=form)
    assert answer.content[0].text == '{"city":"Genève","degrees":21}'


@upstreams(NATIVE)
def test_an_image_arrives_as_it_is(anthropic, upstream):
    picture = script.picture()
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(picture).decode()}
    content = [{"type": "text", "text": "script:image"}, {"type": "image", "source": source}]
    answer = ask(anthropic, upstream, content)
    assert answer.content[0].text == f"image/png {hashlib.sha256(picture).hexdigest()}"


@upstreams(NATIVE)
def test_an_answer_that_is_too_long(anthropic, upstream):
    assert ask(anthropic, upstream, "script:long").stop_reason == "max_tokens"


@upstreams(NATIVE, among=["openai", "responses-only", "anthropic", "gemini", "bedrock"])
def test_an_answer_that_was_held_back(anthropic, upstream):
    assert ask(anthropic, upstream, "script:refuse").stop_reason == "refusal"


@upstreams(NATIVE)
def test_tokens_are_counted_beforehand(anthropic, upstream):
    messages = [{"role": "user", "content": "How many tokens are these?"}]
    counted = anthropic.messages.count_tokens(model=model(upstream), messages=messages, tools=TOOL_LIST)
    assert counted.input_tokens > 0
    if upstream == NATIVE:
        assert counted.input_tokens == 42, "the provider counts for itself"
