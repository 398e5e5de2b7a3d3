"""OpenAI's Azure client: a deployment in the path, an API version in the query, the key in a header of its own."""

import json

import script
from openai import AzureOpenAI
from script import model, upstreams
from test_openai_chat import TOOL_LIST, fold


def azure():
    url = script.base_url("azure")
    return AzureOpenAI(azure_endpoint=url, api_key=script.KEY, api_version="2024-10-21", max_retries=0, timeout=30)


@script.through_weir
@upstreams("openai")
def test_a_text(upstream):
    messages = [{"role": "user", "content": "hello"}]
    answer = azure().chat.completions.create(model=model(upstream), messages=messages)
    assert answer.choices[0].message.content == "echo: hello"


@script.through_weir
@upstreams("openai", among=["openai", "anthropic", "gemini"])
def test_streamed_tools(upstream):
    messages = [{"role": "user", "content": "script:parallel"}]
    chunks = azure().chat.completions.create(model=model(upstream), messages=messages, tools=TOOL_LIST, stream=True)
    _, calls, finishes, _ = fold(chunks)
    assert [json.loads(call["arguments"])["city"] for call in calls] == ["Genève", "Zürich"]
    assert finishes == ["tool_calls"]
