"""The Google SDK, whatever the provider speaks."""

import hashlib

import pytest
import script
from conftest import gemini_client
from google.genai import types
from pydantic import BaseModel
from script import INPUT, OUTPUT, TOOLS, VECTOR, model, upstreams

NATIVE = "gemini"
FUNCTIONS = [
    types.FunctionDeclaration(name=name, description=text, parameters_json_schema=schema) for name, text, schema in TOOLS
]
WITH_TOOLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=FUNCTIONS)],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def check_usage(usage, upstream):
    assert usage.prompt_token_count == INPUT
    assert (usage.cached_content_token_count or 0) == script.CACHE_READ[upstream]
    thoughts = usage.thoughts_token_count or 0
    assert thoughts == script.REASONING[upstream]
    assert usage.candidates_token_count + thoughts == OUTPUT
    assert usage.total_token_count == INPUT + OUTPUT


def user(text):
    return types.Content(role="user", parts=[types.Part(text=text)])


@upstreams(NATIVE)
def test_a_text(gemini, upstream):
    answer = gemini.models.generate_content(model=model(upstream), contents="Grüezi, 世界 👋")
    assert answer.text == "echo: Grüezi, 世界 👋"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.candidates[0].content.role == "model"
    check_usage(answer.usage_metadata, upstream)


@pytest.mark.parametrize("api_version", ["v1", "v1beta"])
def test_both_versions_of_the_api(api_version):
    """`v1` is what the SDK asks for unless it is told otherwise."""
    client = gemini_client(script.KEY, api_version)
    answer = client.models.generate_content(model=model(NATIVE), contents="hello")
    assert answer.text == "echo: hello"


@upstreams(NATIVE)
def test_a_streamed_text(gemini, upstream):
    chunks = list(gemini.models.generate_content_stream(model=model(upstream), contents="Grüezi, 世界 👋"))
    assert "".join(chunk.text or "" for chunk in chunks) == "echo: Grüezi, 世界 👋"
    finishes = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
    assert [finish for finish in finishes if finish] == [types.FinishReason.STOP]
    check_usage(chunks[-1].usage_metadata, upstream)


@upstreams(NATIVE)
def test_instructions_arrive(gemini, upstream):
    config = types.GenerateContentConfig(system_instruction="be kind")
    answer = gemini.models.generate_content(model=model(upstream), contents="script:instructions", config=config)
    assert answer.text == "be kind"


@upstreams(NATIVE)
@pytest.mark.parametrize(
    "scene, calls",
    [
        ("tool", [("get_weather", {"city": "Genève"})]),
        ("parallel", [("get_weather", {"city": "Genève"}), ("get_weather", {"city": "Zürich"})]),
        ("noargs", [("get_time", {})]),
    ],
)
def test_tools_go_round(gemini, upstream, scene, calls):
    question = user(f"script:{scene} How is it in Geneva?")
    first = gemini.models.generate_content(model=model(upstream), contents=[question], config=WITH_TOOLS)
    made = first.function_calls
    assert [(call.name, call.args or {}) for call in made] == calls
    assert first.candidates[0].finish_reason == types.FinishReason.STOP

    results = [
        types.Part(function_response=types.FunctionResponse(id=call.id, name=call.name, response={"result": f"sunny {index}"}))
        for index, call in enumerate(made)
    ]
    contents = [question, first.candidates[0].content, types.Content(role="user", parts=results)]
    second = gemini.models.generate_content(model=model(upstream), contents=contents, config=WITH_TOOLS)
    # An object is the result here; the other dialects are told its text.
    for index in range(len(made)):
        assert f"sunny {index}" in second.text
    assert second.text.startswith("the tool says: ")


@upstreams(NATIVE)
def test_streamed_calls_come_whole(gemini, upstream):
    contents = "script:parallel How is it in Geneva?"
    chunks = list(gemini.models.generate_content_stream(model=model(upstream), contents=contents, config=WITH_TOOLS))
    calls = [call for chunk in chunks for call in chunk.function_calls or []]
    assert [call.args for call in calls] == [{"city": "Genève"}, {"city": "Zürich"}]


@upstreams(NATIVE)
def test_an_answer_of_a_schema(gemini, upstream):
    class Weather(BaseModel):
        city: str
        degrees: int

    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Weather)
    answer = gemini.models.generate_content(model=model(upstream), contents="script:json", config=config)
    assert answer.parsed == Weather(city="Genève", degrees=21)


@upstreams(NATIVE)
def test_an_image_arrives_as_it_is(gemini, upstream):
    picture = script.picture()
    contents = ["script:image", types.Part.from_bytes(data=picture, mime_type="image/png")]
    answer = gemini.models.generate_content(model=model(upstream), contents=contents)
    assert answer.text == f"image/png {hashlib.sha256(picture).hexdigest()}"


@upstreams(NATIVE)
def test_an_answer_that_is_too_long(gemini, upstream):
    answer = gemini.models.generate_content(model=model(upstream), contents="script:long")
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


@upstreams(NATIVE)
def test_tokens_are_counted_beforehand(gemini, upstream):
    counted = gemini.models.count_tokens(model=model(upstream), contents="How many tokens are these?")
    assert counted.total_tokens > 0
    if upstream == NATIVE:
        assert counted.total_tokens == 42, "the provider counts for itself"


@pytest.mark.parametrize(
    "upstream, name",
    [("gemini", "gemini-embedding-001")] + ([] if script.DIRECT else [("openai", "text-embedding-3-small")]),
)
def test_embeddings(gemini, upstream, name):
    answer = gemini.models.embed_content(model=model(upstream, name), contents="hello")
    assert [embedding.values for embedding in answer.embeddings] == [VECTOR]
