import openai
import pytest
import weir


def test_the_demo_completes(client):
    answer = client.completions.create(model="demo/chat", prompt="Once upon a time")
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    assert answer.usage.total_tokens > 0


def test_a_completion_streams(client):
    chunks = list(client.completions.create(model="demo/chat", prompt="Once upon a time", stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices)


def test_a_completion_reaches_the_upstream(client):
    answer = client.completions.create(model="scripted/echo", prompt="once", max_tokens=3, echo=False)
    assert answer.choices[0].text == "echo: once"
    body = weir.upstream_saw("/v1/completions")["body"]
    assert (body["prompt"], body["max_tokens"], body["echo"]) == ("once", 3, False)


def test_an_embedding_model_does_not_complete(client):
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="demo/embed", prompt="Once upon a time")
