"""The OpenAI SDK's responses, whatever the provider speaks."""

import base64
import hashlib
import json

import pytest
import script
from pydantic import BaseModel
from script import INPUT, OUTPUT, TOOLS, model, upstreams

NATIVE = "responses-only"
TOOL_LIST = [
    {"type": "function", "name": name, "description": text, "parameters": schema, "strict": False}
    for name, text, schema in TOOLS
]
# Every stream of a message, in this order; what else a provider says in between may differ.
STORY = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


def ask(openai, upstream, given, **fields):
    return openai.responses.create(model=model(upstream), input=given, **fields)


def check_usage(usage, upstream):
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (INPUT, OUTPUT, INPUT + OUTPUT)
    assert usage.input_tokens_details.cached_tokens == script.CACHE_READ[upstream]
    assert usage.output_tokens_details.reasoning_tokens == script.REASONING[upstream]


def calls_of(response):
    return [item for item in response.output if item.type == "function_call"]


def results_of(calls):
    return [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"sunny {index}"}
        for index, call in enumerate(calls)
    ]


@upstreams(NATIVE)
def test_a_text(openai, upstream):
    answer = ask(openai, upstream, "Grüezi, 世界 👋")
    assert (answer.object, answer.status) == ("response", "completed")
    assert answer.output_text == "echo: Grüezi, 世界 👋"
    check_usage(answer.usage, upstream)


@upstreams(NATIVE)
def test_a_streamed_text(openai, upstream):
    events = list(ask(openai, upstream, "Grüezi, 世界 👋", stream=True))
    kinds = [event.type for event in events]
    assert [kind for kind in dict.fromkeys(kinds) if kind in STORY] == STORY
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "echo: Grüezi, 世界 👋"
    final = events[-1].response
    assert final.output_text == "echo: Grüezi, 世界 👋"
    check_usage(final.usage, upstream)


@upstreams(NATIVE)
def test_instructions_arrive(openai, upstream):
    answer = ask(openai, upstream, "script:instructions", instructions="be kind")
    assert answer.output_text == "be kind"


@upstreams(NATIVE)
@pytest.mark.parametrize(
    "scene, calls",
    [
        ("tool", [("get_weather", {"city": "Genève"})]),
        ("parallel", [("get_weather", {"city": "Genève"}), ("get_weather", {"city": "Zürich"})]),
        ("noargs", [("get_time", {})]),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_tools_go_round(openai, upstream, scene, calls, streamed):
    question = {"role": "user", "content": f"script:{scene} How is it in Geneva?"}
    first = ask(openai, upstream, [question], tools=TOOL_LIST, store=False, stream=streamed)
    if streamed:
        first = list(first)[-1].response
    made = calls_of(first)
    assert first.status == "completed"
    assert [(call.name, json.loads(call.arguments)) for call in made] == calls

    given = [question, *[item.to_dict() for item in first.output], *results_of(made)]
    second = ask(openai, upstream, given, tools=TOOL_LIST, store=False)
    assert second.output_text == "the tool says: " + "; ".join(f"sunny {index}" for index in range(len(made)))


@upstreams(NATIVE)
def test_an_answer_of_a_schema(openai, upstream):
    class Weather(BaseModel):
        city: str
        degrees: int

    answer = openai.responses.parse(model=model(upstream), input="script:json", text_format=Weather)
    assert answer.output_parsed == Weather(city="Genève", degrees=21)


@upstreams(NATIVE)
def test_an_image_arrives_as_it_is(openai, upstream):
    picture = script.picture()
    url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    content = [
        {"type": "input_text", "text": "script:image"},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    answer = ask(openai, upstream, [{"role": "user", "content": content}])
    assert answer.output_text == f"image/png {hashlib.sha256(picture).hexdigest()}"


@upstreams(NATIVE)
def test_an_answer_that_is_too_long(openai, upstream):
    answer = ask(openai, upstream, "script:long", max_output_tokens=16)
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"


@upstreams(NATIVE)
def test_a_conversation_goes_on_where_it_was_left(openai, upstream):
    first = ask(openai, upstream, "script:tool How is it in Geneva?", tools=TOOL_LIST)
    results = results_of(calls_of(first))
    second = ask(openai, upstream, results, tools=TOOL_LIST, previous_response_id=first.id)
    assert second.output_text == "the tool says: sunny 0"
    assert second.previous_response_id == first.id


@upstreams(NATIVE)
def test_tokens_are_counted_beforehand(openai, upstream):
    counted = openai.responses.input_tokens.count(model=model(upstream), input="How many tokens are these?")
    assert counted.input_tokens > 0
