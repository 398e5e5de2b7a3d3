import openai
import pytest


def test_the_list_names_what_can_be_called(client):
    ids = [model.id for model in client.models.list()]
    assert {"demo/chat", "demo/embed", "echo"} <= set(ids)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["demo/chat", "echo"])
def test_one_model_with_its_extra_fields(client, name):
    model = client.models.retrieve(name)
    assert model.id == name
    assert model.object == "model"
    assert isinstance(model.created, int)
    assert model.owned_by
    assert model.model_extra, "a model tells more than the dialect asks for"
    assert model.to_dict() in [listed.to_dict() for listed in client.models.list()]


def test_a_model_that_does_not_exist(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("demo/chap")
    assert caught.value.code == "model_not_found"


def test_a_key_lists_only_what_it_may_use(client_with):
    narrow = client_with({"models": ["demo/chat"]})
    assert [model.id for model in narrow.models.list()] == ["demo/chat"]
