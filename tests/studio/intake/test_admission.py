"""Uploads are decoded in turns of their clients, and what would wait for too long is refused at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.studio.errors import RefusedError
from impasto.studio.intake.admission import Admission
from serving import in_a_thread


def order_of(arrivals: list[str], at_once: int = 1) -> list[str]:
    """The clients in the order in which their uploads were decoded, all of which come at the same time."""
    order: list[str] = []

    async def upload(admission: Admission, client: str) -> None:
        async with admission.turn(client):
            order.append(client)
            await asyncio.sleep(0)

    async def run() -> None:
        admission = Admission(at_once, 1.0)
        await asyncio.gather(*(upload(admission, client) for client in arrivals))
        assert admission.expected_wait("anybody") == 0.0

    in_a_thread(run())
    return order


def test_clients_take_turns_however_many_uploads_each_has() -> None:
    assert order_of(["a", "a", "a", "a", "b", "c", "b"]) == ["a", "a", "b", "c", "a", "b", "a"]


@given(st.lists(st.sampled_from("abcd"), max_size=12), st.integers(1, 3))
def test_every_upload_is_decoded_once(arrivals: list[str], at_once: int) -> None:
    assert sorted(order_of(arrivals, at_once)) == sorted(arrivals)


def rounds_until(waiting: dict[str, int], client: str) -> int:
    """How many uploads are decoded, one at a time, before another one of ``client``: played through."""
    queues = deque([*((name, count) for name, count in waiting.items() if name != client)])
    own, before = waiting.get(client, 0), 0
    while True:
        for _ in range(len(queues)):  # the others' turns come first
            name, count = queues.popleft()
            before += 1
            if count > 1:
                queues.append((name, count - 1))
        if own == 0:
            return before
        own -= 1
        before += 1


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 5)))
def test_the_expected_wait_is_that_of_turns(waiting: dict[str, int]) -> None:
    """While bodies arrive, with nothing decoded yet and one at a time."""
    admission = Admission(1, 1e9)
    with ExitStack() as stack:
        for client, count in waiting.items():
            for _ in range(count):
                stack.enter_context(admission.arriving(client, lambda: 0.0))
        second = admission.expected_wait("nobody") / max(1, len(waiting))
        for client in [*waiting, "another"]:
            expected = rounds_until(waiting, client) * second
            assert admission.expected_wait(client) == pytest.approx(expected)
    assert admission.expected_wait("another") == 0.0


def refusal(act: Callable[[], object]) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        act()
    return caught.value


def test_whoever_has_many_uploads_is_refused_before_whoever_has_none() -> None:
    admission = Admission(2, 3.0)
    with ExitStack() as stack:
        error = refusal(
            lambda: [stack.enter_context(admission.arriving("greedy", lambda: 0.0)) for _ in range(99)]
        )
        assert error.status == 429
        assert error.retry_after is not None
        assert 3 <= error.retry_after <= 5
        assert f"come back in {error.retry_after} s" in str(error)
        with admission.arriving("another", lambda: 0.0):
            assert admission.expected_wait("another") < 3.0


def test_bodies_that_do_not_arrive_keep_nobody_out() -> None:
    admission = Admission(2, 3.0)
    with ExitStack() as stack:
        for number in range(200):
            stack.enter_context(admission.arriving(f"silent {number}", lambda: 60.0))
        assert admission.expected_wait("another") == 0.0


def test_the_wait_is_learned_from_how_long_uploads_take() -> None:
    now = [0.0]

    async def run(seconds: float) -> float:
        admission = Admission(1, 1.0, lambda: now[0])
        for _ in range(100):
            async with admission.turn("a"):
                now[0] += seconds
        with admission.arriving("a", lambda: 0.0):
            return admission.expected_wait("b")

    assert in_a_thread(run(7.0)) == pytest.approx(7.0, rel=0.01)
    assert in_a_thread(run(0.01)) == pytest.approx(0.01, rel=0.1)


def test_a_client_that_leaves_while_it_waits_takes_no_turn() -> None:
    async def run() -> list[str]:
        admission, order = Admission(1, 1.0), []

        async def upload(client: str) -> None:
            async with admission.turn(client):
                order.append(client)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(upload(client)) for client in "abcd"]
        await asyncio.sleep(0)
        tasks[1].cancel()  # waits
        tasks[0].cancel()  # is decoded
        await asyncio.gather(*tasks, return_exceptions=True)
        async with admission.turn("e"):
            order.append("e")
        return order

    assert in_a_thread(run()) == ["a", "c", "d", "e"]


def test_a_client_that_leaves_at_its_turn_passes_it_on() -> None:
    async def run() -> str:
        admission = Admission(1, 1.0)

        async def upload(client: str) -> str:
            async with admission.turn(client):
                return client

        async with admission.turn("a"):
            leaving, next_one = asyncio.create_task(upload("b")), asyncio.create_task(upload("c"))
            await asyncio.sleep(0)
        leaving.cancel()  # the place is b's already, though b has not been told
        return await asyncio.wait_for(next_one, 5)

    assert in_a_thread(run()) == "c"
