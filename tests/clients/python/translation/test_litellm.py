"""LiteLLM as a client, in OpenAI's and in Anthropic's dialect."""

import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its price list would come from the network

import litellm
import pytest
import script
from script import EVERY, INPUT, OUTPUT, model
from test_openai_chat import TOOL_LIST

litellm.telemetry = False
litellm.num_retries = 0
BASES = {"openai": script.base_url("openai", "/v1"), "anthropic": script.base_url("anthropic")}
CALLS = [(prefix, upstream) for prefix in BASES for upstream in ([prefix] if script.DIRECT else EVERY)]
everywhere = pytest.mark.parametrize("prefix, upstream", CALLS)


def complete(prefix, upstream, messages, **fields):
    name = f"{prefix}/{model(upstream)}"
    return litellm.completion(
        model=name,
        api_base=BASES[prefix],
        api_key=script.KEY,
        messages=messages,
        max_tokens=1000,
        timeout=30,
        max_retries=0,
        **fields,
    )


@everywhere
def test_a_text(prefix, upstream):
    answer = complete(prefix, upstream, [{"role": "user", "content": "Grüezi, 世界"}])
    assert answer.choices[0].message.content == "echo: Grüezi, 世界"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (INPUT, OUTPUT)


@everywhere
def test_a_stream(prefix, upstream):
    chunks = complete(prefix, upstream, [{"role": "user", "content": "Grüezi, 世界"}], stream=True)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "echo: Grüezi, 世界"


@everywhere
def test_tools_go_round(prefix, upstream):
    question = {"role": "user", "content": "script:parallel How is it in Geneva?"}
    first = complete(prefix, upstream, [question], tools=TOOL_LIST).choices[0].message
    assert [json.loads(call.function.arguments)["city"] for call in first.tool_calls] == ["Genève", "Zürich"]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in first.tool_calls]
    second = complete(prefix, upstream, [question, first, *results], tools=TOOL_LIST)
    assert second.choices[0].message.content == "the tool says: sunny; sunny"


@everywhere
def test_an_error(prefix, upstream):
    with pytest.raises(litellm.RateLimitError):
        complete(prefix, upstream, [{"role": "user", "content": "script:status-429"}])
