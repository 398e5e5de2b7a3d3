from decimal import Decimal

import openai
import pytest
import weir

HELLO = [{"role": "user", "content": "one two three"}]


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def finishes_of(chunks):
    return [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


@pytest.mark.parametrize("model", ["demo/chat", "echo"])
def test_without_the_option_no_chunk_carries_usage(client, model):
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert not [chunk for chunk in chunks if chunk.usage]
    assert finishes_of(chunks) == ["stop"]


@pytest.mark.parametrize("model", ["demo/chat", "echo"])
def test_with_the_option_the_last_chunk_alone_carries_usage(client, model):
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))
    assert [bool(chunk.usage) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []
    usage = chunks[-1].usage
    assert usage.prompt_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_the_usage_chunk_tells_the_price(client):
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="echo", messages=HELLO, stream=True, stream_options=options))
    assert Decimal(chunks[-1].usage.model_extra["cost_usd"]) == Decimal("0.0000224")


def test_usage_that_the_client_did_not_ask_for_is_still_metered(client):
    raw = client.chat.completions.with_raw_response.create(model="echo", messages=HELLO, stream=True)
    list(raw.parse())
    assert weir.upstream_saw()["body"]["stream_options"] == {"include_usage": True}
    row = weir.usage_row(raw.headers["x-request-id"])
    assert (row["input_tokens"], row["cached_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (12, 4, 7, 2)
    assert row["stream"] is True
    assert row["estimated"] is False


def test_the_demo_streams_word_by_word_what_it_answers_at_once(client):
    whole = client.chat.completions.create(model="demo/chat", messages=HELLO).choices[0].message.content
    chunks = list(client.chat.completions.create(model="demo/chat", messages=HELLO, stream=True))
    assert text_of(chunks) == whole
    assert len(chunks) > 2
    assert len({chunk.id for chunk in chunks}) == 1


def test_chunks_of_the_upstream_arrive_unchanged(client):
    chunks = list(client.chat.completions.create(model="echo", messages=HELLO, stream=True))
    assert text_of(chunks) == "echo: one two three "
    assert {chunk.id for chunk in chunks} == {"scripted-1"}


def test_the_stream_helper_of_the_sdk_works(client):
    with client.chat.completions.stream(model="demo/chat", messages=HELLO) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in events
    assert final.choices[0].message.content


def test_the_wire_is_server_sent_events_with_an_end(client):
    body = {"model": "demo/chat", "messages": HELLO, "stream": True}
    response = weir.call("POST", "/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("model", "headers"),
    [("scripted/cut", {}), ("demo/chat", {"x-weir-fault": "cut_after=2"})],
    ids=["upstream", "demo"],
)
def test_a_stream_that_breaks_off_is_an_error_and_never_an_invented_finish(client, model, headers):
    stream = client.chat.completions.create(model=model, messages=HELLO, stream=True, extra_headers=headers)
    seen = []
    with pytest.raises(openai.APIError):
        for chunk in stream:
            seen.append(chunk)
    assert seen
    assert finishes_of(seen) == []


def test_an_upstream_that_refuses_a_stream_is_a_plain_error(client):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="scripted/status-503", messages=HELLO, stream=True)
    assert caught.value.status_code == 503


def test_a_client_that_leaves_ends_the_call_upstream(client):
    raw = client.chat.completions.with_raw_response.create(model="scripted/slow", messages=HELLO, stream=True)
    stream = raw.parse()
    for _, chunk in zip(range(3), stream):
        assert chunk.choices[0].delta.content == "word "
    stream.close()
    assert weir.upstream_lost_its_reader() is True
    row = weir.usage_row(raw.headers["x-request-id"])
    assert row["status"] == "cancelled"
    assert row["estimated"] is True
    assert row["output_tokens"] > 0
