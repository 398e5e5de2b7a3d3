from decimal import Decimal

import pytest
import weir

HELLO = [{"role": "user", "content": "Say hello to Ada, please"}]


def test_the_demo_answers_and_counts(client):
    answer = client.chat.completions.create(model="demo/chat", messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_demo_is_deterministic(client):
    first, second = (client.chat.completions.create(model="demo/chat", messages=HELLO) for _ in range(2))
    assert first.choices[0].message.content == second.choices[0].message.content


@pytest.mark.parametrize("model", ["echo", "scripted/echo"])
def test_a_public_name_and_a_provider_path_reach_the_same_upstream(client, model):
    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "grüße 👋"}])
    assert answer.choices[0].message.content == "echo: grüße 👋"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 7)
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.usage.completion_tokens_details.reasoning_tokens == 2
    assert weir.upstream_saw()["body"]["model"] == "echo"


def test_the_upstream_gets_its_own_key_and_nothing_of_the_clients(client):
    client.chat.completions.create(model="echo", messages=HELLO)
    headers = {name.lower(): value for name, value in weir.upstream_saw()["headers"].items()}
    assert headers["authorization"] == f"Bearer {weir.UPSTREAM_KEY}"
    assert not [name for name, value in headers.items() if weir.KEY in value]
    assert not [name for name in headers if name.startswith("x-weir-")]


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 0.25, "top_p": 0.5, "seed": 7, "stop": ["\n", "END"], "n": 1, "logprobs": True, "top_logprobs": 2},
        {"max_completion_tokens": 64, "reasoning_effort": "low", "user": "u-1", "metadata": {"a": "b"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "person",
                    "strict": True,
                    "schema": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
                        "required": ["name", "age"],
                        "additionalProperties": False,
                    },
                },
            }
        },
        {"extra_body": {"a_field_of_tomorrow": {"deep": [1, 2.5, None, "ü"]}}},
    ],
    ids=["sampling", "reasoning", "structured output", "unknown"],
)
def test_parameters_reach_the_upstream_as_they_were_sent(client, parameters):
    client.chat.completions.create(model="echo", messages=HELLO, **parameters)
    body = weir.upstream_saw()["body"]
    for name, value in (parameters.get("extra_body") or parameters).items():
        assert body[name] == value, name


def test_vision_parts_reach_the_upstream_as_they_were_sent(client):
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://images.example/cat.jpg"}},
    ]
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": content}]
    answer = client.chat.completions.create(model="echo", messages=messages)
    assert answer.choices[0].message.content == "echo: what is this?"
    assert weir.upstream_saw()["body"]["messages"] == messages


def test_the_demo_takes_vision_parts_and_structured_output(client):
    content = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    answer = client.chat.completions.create(
        model="demo/chat",
        messages=[{"role": "user", "content": content}],
        response_format={"type": "json_object"},
    )
    assert answer.choices[0].message.content


def test_body_extensions_of_the_gateway_stay_in_the_gateway(client):
    client.chat.completions.create(model="echo", messages=HELLO, extra_body={"fallbacks": ["demo/chat"]})
    assert "fallbacks" not in weir.upstream_saw()["body"]


def test_a_fallback_answers_for_an_upstream_that_fails(client):
    raw = client.chat.completions.with_raw_response.create(
        model="scripted/status-503", messages=HELLO, extra_body={"fallbacks": ["demo/chat"]}
    )
    assert raw.headers["x-weir-provider"] == "demo"
    assert int(raw.headers["x-weir-attempts"]) >= 2
    assert raw.parse().choices[0].message.content


def test_the_price_is_exact(client):
    raw = client.chat.completions.with_raw_response.create(model="echo", messages=HELLO)
    # 8 fresh at 1, 4 cached at 0.1, 7 out at 2, per million.
    assert Decimal(weir.usage_row(raw.headers["x-request-id"])["cost_usd"]) == Decimal("0.0000224")
