import asyncio

import openai
import pytest
import weir

HELLO = [{"role": "user", "content": "one two three"}]


async def test_many_at_once_are_not_mixed_up(async_client):
    async def echo(number):
        message = {"role": "user", "content": f"number {number}"}
        answer = await async_client.chat.completions.create(model="echo", messages=[message])
        return answer.choices[0].message.content

    answers = await asyncio.gather(*(echo(number) for number in range(50)))
    assert answers == [f"echo: number {number}" for number in range(50)]


async def test_a_stream(async_client):
    stream = await async_client.chat.completions.create(model="demo/chat", messages=HELLO, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    whole = await async_client.chat.completions.create(model="demo/chat", messages=HELLO)
    assert text == whole.choices[0].message.content


async def test_embeddings(async_client):
    answer = await async_client.embeddings.create(model="demo/embed", input="a")
    assert len(answer.data[0].embedding) > 1


async def test_models(async_client):
    assert "demo/chat" in [model.id async for model in async_client.models.list()]


async def test_an_error(async_client):
    with pytest.raises(openai.NotFoundError):
        await async_client.chat.completions.create(model="demo/chatt", messages=HELLO)


async def test_a_task_that_is_cancelled_ends_the_call_upstream(async_client):
    started = asyncio.Event()

    async def read():
        stream = await async_client.chat.completions.create(model="scripted/slow", messages=HELLO, stream=True)
        async for _ in stream:
            started.set()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(weir.upstream_lost_its_reader) is True
