"""LangChain's OpenAI and Anthropic models: invoke, stream, and a loop with bound tools."""

import pytest
import script
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from script import EVERY, INPUT, OUTPUT, model


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def chat_openai(upstream, **fields):
    url = script.base_url("openai", "/v1")
    return ChatOpenAI(model=model(upstream), base_url=url, api_key=script.KEY, max_retries=0, timeout=30, **fields)


def responses_openai(upstream):
    return chat_openai(upstream, use_responses_api=True)


def chat_anthropic(upstream):
    url = script.base_url("anthropic")
    return ChatAnthropic(
        model_name=model(upstream), base_url=url, api_key=script.KEY, max_tokens=1000, max_retries=0, timeout=30
    )


NATIVE = [(chat_openai, "openai"), (responses_openai, "responses-only"), (chat_anthropic, "anthropic")]
CLIENTS = [(client, upstream) for client, native in NATIVE for upstream in ([native] if script.DIRECT else EVERY)]
everywhere = pytest.mark.parametrize("client, upstream", CLIENTS)


@everywhere
def test_invoke(client, upstream):
    answer = client(upstream).invoke("Grüezi, 世界")
    assert answer.text == "echo: Grüezi, 世界"
    assert answer.usage_metadata["input_tokens"] == INPUT
    assert answer.usage_metadata["output_tokens"] == OUTPUT


@everywhere
def test_stream(client, upstream):
    chunks = list(client(upstream).stream("Grüezi, 世界"))
    assert "".join(chunk.text for chunk in chunks) == "echo: Grüezi, 世界"


@everywhere
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_loop_with_bound_tools(client, upstream, streamed):
    model_with_tools = client(upstream).bind_tools([get_weather])
    messages = [HumanMessage("script:parallel How is it in Geneva?")]
    if streamed:
        first = None
        for chunk in model_with_tools.stream(messages):
            first = chunk if first is None else first + chunk
    else:
        first = model_with_tools.invoke(messages)
    assert [call["args"] for call in first.tool_calls] == [{"city": "Genève"}, {"city": "Zürich"}]
    results = [ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
    second = model_with_tools.invoke([*messages, first, *results])
    assert second.text == "the tool says: sunny in Genève; sunny in Zürich"
