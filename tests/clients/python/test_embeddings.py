import math

import pytest
import weir


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_vectors_are_sane(client, encoding):
    options = {"encoding_format": encoding} if encoding else {}
    answer = client.embeddings.create(model="demo/embed", input=["one", "two", "one"], **options)
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert answer.usage.prompt_tokens > 0
    if encoding == "base64":
        assert all(isinstance(item.embedding, str) for item in answer.data)
        return
    one, two, one_again = (item.embedding for item in answer.data)
    assert one == one_again != two
    assert len(one) == len(two) > 1
    assert all(math.isfinite(number) for number in one)
    assert math.isclose(math.hypot(*one), 1.0, rel_tol=1e-3)


def test_the_default_encoding_and_floats_are_the_same_vectors(client):
    packed = client.embeddings.create(model="demo/embed", input="the same").data[0].embedding
    plain = client.embeddings.create(model="demo/embed", input="the same", encoding_format="float").data[0].embedding
    assert packed == pytest.approx(plain, rel=1e-6)


def test_the_sdks_default_reaches_the_upstream(client):
    answer = client.embeddings.create(model="scripted/embed", input=["a", "b"])
    assert weir.upstream_saw("/v1/embeddings")["body"]["encoding_format"] == "base64"
    assert [item.embedding for item in answer.data] == [[0.25, -0.5, 0.125, 1.0]] * 2
    assert answer.usage.prompt_tokens == 6


def test_token_arrays_pass(client):
    client.embeddings.create(model="scripted/embed", input=[[1, 2, 3]], dimensions=4)
    body = weir.upstream_saw("/v1/embeddings")["body"]
    assert body["input"] == [[1, 2, 3]]
    assert body["dimensions"] == 4
