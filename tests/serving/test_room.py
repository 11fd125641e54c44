"""How much a copy of an API holds at once: never more than it may, and nothing once all requests are over."""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from serving.door import Door, Doorkeeper
from serving.errors import Busy, Refused
from serving.room import Room

MB = 2**20


@given(
    st.integers(1, 50),
    st.integers(1, 100),
    st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 60))), max_size=40),
)
def test_it_never_holds_more_and_ends_empty(max_share: int, max_bytes: int, acts: list[tuple[int, int | None]]) -> None:
    """acts: which of four requests does something, and how much it takes; None ends it, and another begins."""
    room = Room(max_bytes, max_share)
    stacks = [ExitStack() for _ in range(4)]
    shares = [stack.enter_context(room.share()) for stack in stacks]
    for who, size in acts:
        if size is None:
            stacks[who].close()
            assert shares[who].is_over
            shares[who] = stacks[who].enter_context(room.share())
            continue
        before = shares[who].size, room.held
        fits = before[0] + size <= max_share and before[1] + size <= room.max_bytes
        if fits:
            shares[who].grow(size)
        else:
            with pytest.raises(Refused) as refused:
                shares[who].grow(size)
            assert refused.value.status == (413 if before[0] + size > max_share else 429)
        assert (shares[who].size, room.held) == ((before[0] + size, before[1] + size) if fits else before)
        assert room.held == sum(share.size for share in shares) <= max(max_bytes, max_share)
    for stack in stacks:
        stack.close()
    assert room.held == 0
    with room.share() as alone:
        alone.grow(max_share)  # a single request always fits
    alone.grow(1)  # what a request left behind takes nothing from others
    assert room.held == 0


class Held:
    """An application that keeps each request until it is told to go on."""

    def __init__(self) -> None:
        self.go_on, self.seen = asyncio.Event(), asyncio.Event()
        self.fails = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        self.seen.set()
        await self.go_on.wait()
        if self.fails:
            raise KeyError("x")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % len(message["body"])})


class Client:
    """One request, whose body comes as it is told."""

    def __init__(self, keeper: Doorkeeper, stated: int | None = None) -> None:
        length = (b"transfer-encoding", b"chunked") if stated is None else (b"content-length", b"%d" % stated)
        scope = {"type": "http", "method": "POST", "path": "/x", "headers": [(b"host", b"localhost"), length]}
        scope |= {"client": ("127.0.0.1", 5000), "server": ("127.0.0.1", 8000)}
        self.messages, self.sent = asyncio.Queue[Message](), list[Any]()
        self.num_read = 0
        self.task = asyncio.ensure_future(keeper(scope, self.receive, self.send))

    async def receive(self) -> Message:
        self.num_read += 1
        return await self.messages.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def give(self, size: int, *, more: bool = False) -> None:
        self.messages.put_nowait({"type": "http.request", "body": b"a" * size, "more_body": more})

    async def status(self) -> int:
        await self.task
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


def keeper_of(app: Any) -> Doorkeeper:
    return Doorkeeper(app, Door(max_body_mb=2, max_held_mb=3, body_timeout_s=30), "spoof")


def test_a_body_that_does_not_fit_is_refused_before_it_is_read() -> None:
    async def main() -> None:
        app = Held()
        keeper = keeper_of(app)
        first = Client(keeper, 2 * MB)
        first.give(2 * MB)
        await app.seen.wait()
        assert keeper.room.held == 2 * MB
        second = Client(keeper, 2 * MB)
        assert await second.status() == 429 and second.headers[b"retry-after"] == b"2"
        assert second.num_read == 0 and b'"busy"' in second.sent[1]["body"]
        app.go_on.set()
        assert await first.status() == 200 and keeper.room.held == 0
        third = Client(keeper, 2 * MB)
        third.give(2 * MB)
        assert await third.status() == 200 and third.sent[1]["body"] == b"%d" % (2 * MB)

    asyncio.run(main())


def test_a_body_without_a_length_is_refused_as_soon_as_it_does_not_fit() -> None:
    async def main() -> None:
        app = Held()
        keeper = keeper_of(app)
        first, second = Client(keeper), Client(keeper)
        first.give(2 * MB)
        await app.seen.wait()
        second.give(MB, more=True)
        second.give(1, more=True)
        assert await second.status() == 429 and keeper.room.held == 2 * MB and second.num_read == 2
        app.go_on.set()
        await first.task
        third = Client(keeper)
        third.give(MB, more=True)
        third.give(MB + 1, more=True)
        assert await third.status() == 413 and keeper.room.held == 0

    asyncio.run(main())


def test_room_is_given_back_however_a_request_ends() -> None:
    async def main() -> None:
        app = Held()
        keeper = keeper_of(app)
        left = Client(keeper, MB)
        left.messages.put_nowait({"type": "http.disconnect"})
        assert await left.status() == 499 and keeper.room.held == 0
        cancelled = Client(keeper, MB)
        cancelled.give(MB)
        await app.seen.wait()
        cancelled.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled.task
        assert keeper.room.held == 0
        app.fails = True
        app.go_on.set()
        failed = Client(keeper, MB)
        failed.give(MB)
        with pytest.raises(KeyError):
            await failed.task
        assert keeper.room.held == 0

    asyncio.run(main())


def test_a_byte_at_a_time_is_too_slow() -> None:
    async def main() -> int:
        keeper = Doorkeeper(Held(), Door(body_timeout_s=0.2), "spoof")
        slow = Client(keeper, 1000)

        async def drip() -> None:
            while not slow.task.done():
                slow.give(1, more=True)
                await asyncio.sleep(0.02)

        await asyncio.gather(drip(), slow.task)
        assert keeper.room.held == 0
        return await slow.status()

    assert asyncio.run(main()) == 408


def test_a_server_that_lies_about_a_length_gains_nothing() -> None:
    async def main() -> None:
        keeper = keeper_of(Held())
        more = Client(keeper, 1)
        more.give(2 * MB + 1)
        assert await more.status() == 413 and keeper.room.held == 0
        with pytest.raises(Busy), keeper.room.share() as share, keeper.room.share() as other:
            share.grow(2 * MB)
            other.grow(2 * MB)

    asyncio.run(main())
