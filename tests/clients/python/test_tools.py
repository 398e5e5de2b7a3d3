import json

import pytest
import weir

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
QUESTION = [{"role": "user", "content": "How is the weather in Geneva?"}]


@pytest.mark.parametrize("model", ["demo/chat", "scripted/tools"])
def test_a_tool_call_goes_round(client, model):
    choice = {"type": "function", "function": {"name": "get_weather"}}
    first = client.chat.completions.create(model=model, messages=QUESTION, tools=TOOLS, tool_choice=choice)
    message = first.choices[0].message
    [call] = message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments), dict)

    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"}
    messages = [*QUESTION, message.to_dict(), result]
    second = client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    assert second.choices[0].message.content
    assert second.choices[0].finish_reason == "stop"


def test_a_tool_call_reaches_the_upstream_as_it_was_sent(client):
    client.chat.completions.create(
        model="scripted/tools", messages=QUESTION, tools=TOOLS, tool_choice="auto", parallel_tool_calls=False
    )
    body = weir.upstream_saw()["body"]
    assert body["tools"] == TOOLS
    assert body["tool_choice"] == "auto"
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize("model", ["demo/chat", "scripted/tools"])
def test_a_streamed_tool_call_adds_up(client, model):
    chunks = client.chat.completions.create(
        model=model, messages=QUESTION, tools=TOOLS, tool_choice="required", stream=True
    )
    names, arguments, finishes = [], "", []
    for chunk in chunks:
        for choice in chunk.choices:
            if choice.finish_reason:
                finishes.append(choice.finish_reason)
            for call in choice.delta.tool_calls or []:
                if call.function.name:
                    names.append(call.function.name)
                arguments += call.function.arguments or ""
    assert names == ["get_weather"]
    assert isinstance(json.loads(arguments), dict)
    assert finishes == ["tool_calls"]


def test_arguments_are_not_rewritten(client):
    answer = client.chat.completions.create(model="scripted/tools", messages=QUESTION, tools=TOOLS)
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"city": "Genève"}'
