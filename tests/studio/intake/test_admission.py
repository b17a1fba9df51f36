"""Uploads are decoded in turns of their clients, and what would wait for too long is refused at once."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.studio.errors import RefusedError
from impasto.studio.intake.admission import Admission, AdmittedUpload
from serving import in_a_thread


def just_now() -> float:
    """Silence of a body that arrives."""
    return 0.0


@asynccontextmanager
async def decoding(admission: Admission, client: str, size: int | None = None) -> AsyncIterator[None]:
    """An upload that is there at once; within the block it is decoded."""
    with admission.enter(client, just_now, size) as upload:
        async with admission.turn(upload):
            yield


def order_of(arrivals: list[str], at_once: int = 1) -> list[str]:
    """The clients in the order in which their uploads were decoded, all of which come at the same time."""
    order: list[str] = []

    async def upload(admission: Admission, client: str) -> None:
        async with decoding(admission, client):
            order.append(client)
            await asyncio.sleep(0)

    async def run() -> None:
        admission = Admission(at_once, 1e9)
        await asyncio.gather(*(upload(admission, client) for client in arrivals))
        assert admission.expected_wait("anybody") == 0.0

    in_a_thread(run())
    return order


def test_clients_take_turns_however_many_uploads_each_has() -> None:
    assert order_of(["a", "a", "a", "a", "b", "c", "b"]) == ["a", "b", "c", "a", "b", "a", "a"]


@settings(deadline=None)
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


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 5)))
def test_the_expected_wait_is_that_of_turns(waiting: dict[str, int]) -> None:
    """While bodies arrive, with nothing decoded yet and one at a time."""
    admission = Admission(1, 1e9)
    with ExitStack() as stack:
        for client, count in waiting.items():
            for _ in range(count):
                stack.enter_context(admission.enter(client, just_now))
        second = admission.expected_wait("nobody") / max(1, len(waiting))
        for client in [*waiting, "another"]:
            expected = rounds_until(waiting, client) * second
            assert admission.expected_wait(client) == pytest.approx(expected)
    assert admission.expected_wait("another") == 0.0


def test_a_large_upload_ahead_is_a_longer_wait() -> None:
    admission, waits = Admission(1, 1e9), []
    for size in (0, 4_000_000, 20_000_000):
        with admission.enter("a", just_now, size):
            waits.append(admission.expected_wait("b"))
    assert waits == pytest.approx([waits[0], 2 * waits[0], 6 * waits[0]])


def refusal(act: Callable[[], object]) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        act()
    return caught.value


def test_whoever_has_many_uploads_is_refused_before_whoever_has_none() -> None:
    admission = Admission(2, 3.0)
    with ExitStack() as stack:
        error = refusal(lambda: [stack.enter_context(admission.enter("greedy", just_now)) for _ in range(99)])
        assert error.status == 429
        assert error.retry_after is not None
        assert 3 <= error.retry_after <= 5
        assert f"come back in {error.retry_after} s" in str(error)
        with admission.enter("another", just_now):
            assert admission.expected_wait("another") < 3.0


def test_bodies_that_do_not_arrive_keep_nobody_out() -> None:
    admission = Admission(2, 3.0)
    with ExitStack() as stack:
        for number in range(200):
            stack.enter_context(admission.enter(f"silent {number}", lambda: 60.0))
        assert admission.expected_wait("another") == 0.0


def test_the_wait_is_learned_from_how_long_uploads_take() -> None:
    now = [0.0]

    async def run(seconds: float) -> float:
        admission = Admission(1, 1e9, lambda: now[0])
        with admission.enter("another", just_now):  # what has the machine to itself is no measure
            for _ in range(300):
                async with decoding(admission, "a"):
                    now[0] += seconds
        with admission.enter("a", just_now):
            return admission.expected_wait("a")

    assert in_a_thread(run(7.0)) == pytest.approx(7.0, rel=0.01)
    assert in_a_thread(run(0.01)) == pytest.approx(0.01, rel=0.1)


def test_small_uploads_one_by_one_say_nothing_of_the_wait_when_many_come() -> None:
    now = [0.0]

    async def run() -> float:
        admission = Admission(1, 1e9, lambda: now[0])
        for _ in range(20):
            async with decoding(admission, "a", 0):
                now[0] += 0.01
        with admission.enter("a", just_now):
            return admission.expected_wait("a")

    assert in_a_thread(run()) == pytest.approx(2.0)


def test_a_client_that_leaves_while_it_waits_takes_no_turn() -> None:
    async def run() -> list[str]:
        admission, order = Admission(1, 1e9), []

        async def upload(client: str) -> None:
            async with decoding(admission, client):
                order.append(client)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(upload(client)) for client in "abcd"]
        await asyncio.sleep(0)
        tasks[1].cancel()  # waits
        tasks[0].cancel()  # is decoded
        await asyncio.gather(*tasks, return_exceptions=True)
        async with decoding(admission, "e"):
            order.append("e")
        return order

    assert in_a_thread(run()) == ["a", "c", "d", "e"]


def test_a_client_that_leaves_at_its_turn_passes_it_on() -> None:
    async def run() -> str:
        admission = Admission(1, 1e9)

        async def upload(client: str) -> str:
            async with decoding(admission, client):
                return client

        async with decoding(admission, "a"):
            leaving, next_one = asyncio.create_task(upload("b")), asyncio.create_task(upload("c"))
            await asyncio.sleep(0)
        leaving.cancel()  # the place is b's already, though b has not been told
        return await asyncio.wait_for(next_one, 5)

    assert in_a_thread(run()) == "c"


def test_nothing_is_kept_of_clients_that_left_before_their_turn() -> None:
    admission = Admission(1, 1e9)
    for number in range(100):
        with admission.enter(f"client {number % 50}", just_now):
            pass
    assert not admission._next_rounds
    assert not admission._uploads


def test_an_upload_that_arrives_slowly_keeps_its_turn() -> None:
    """Others that were admitted later go first only while it is not there."""

    async def run() -> list[str]:
        admission, order = Admission(1, 1e9), []

        async def decode(upload: AdmittedUpload) -> None:
            async with admission.turn(upload):
                order.append(upload.client)
                await asyncio.sleep(0.01)

        with ExitStack() as stack:
            slow, *quick = [stack.enter_context(admission.enter(client, just_now)) for client in "abcd"]
            tasks = [asyncio.create_task(decode(upload)) for upload in quick]
            await asyncio.sleep(0)
            await asyncio.gather(*tasks, decode(slow))
        return order

    assert in_a_thread(run()) == ["b", "a", "c", "d"]


def accepted_of_each(
    clients: dict[str, int], seconds: float, sizes: tuple[int, ...] = (4_000_000,)
) -> tuple[dict[str, int], list[float]]:
    """Uploads that were accepted of each person, and the seconds that each waited, by a simulated clock.

    Eight megabytes of work, the upload's own and four more, are decoded in a quarter of a second.

    Args:
        clients: of each person, all of which always have another upload and come back when they are told.
        sizes: bytes of the uploads, one of them drawn at random each time.
    """
    now, chance = [0.0], random.Random(0)
    admission = Admission(2, 3.0, lambda: now[0])
    accepted, waits = Counter[str](), list[float]()

    async def act(person: str, alarms: list[tuple[float, int, asyncio.Event]]) -> None:
        async def sleep(pause: float) -> None:
            heapq.heappush(alarms, (now[0] + pause, chance.randrange(1 << 60), event := asyncio.Event()))
            await event.wait()

        await sleep(chance.uniform(0.0, 5.0))
        while True:
            size = chance.choice(sizes)
            try:
                with admission.enter(person, just_now, size) as upload:
                    begin = now[0]
                    await sleep(chance.uniform(0.05, 1.0))  # the body arrives
                    async with admission.turn(upload):
                        await sleep((size + 4e6) / 8e6 * chance.uniform(0.1, 0.4))
                    accepted[person] += 1
                    waits.append(now[0] - begin)
            except RefusedError as error:
                await sleep((error.retry_after or 0) * chance.uniform(1.0, 1.5))

    async def run() -> None:
        for _ in range(12):  # small ones of the time before
            async with decoding(admission, "earlier", 10_000):
                now[0] += 0.05
        begin = now[0]
        alarms: list[tuple[float, int, asyncio.Event]] = []
        people = [person for person, count in clients.items() for _ in range(count)]
        tasks = [asyncio.create_task(act(person, alarms)) for person in people]
        while now[0] < begin + seconds:
            for _ in range(10):
                await asyncio.sleep(0)  # until all wait for the clock
            now[0], _, event = heapq.heappop(alarms)
            event.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    in_a_thread(run())
    return dict(accepted), waits


@pytest.mark.parametrize(
    ("megabytes", "mean_seconds"), [((4,), 0.25), ((1, 2, 4, 7, 13, 20), 0.37)], ids=["alike", "of all sizes"]
)
def test_whoever_comes_more_often_gets_no_more_and_nobody_waits_longer_than_was_said(
    megabytes: tuple[int, ...], mean_seconds: float
) -> None:
    people = {f"person {number}": 4 for number in range(20)} | {"greedy": 20}
    accepted, waits = accepted_of_each(people, 300.0, tuple(1_000_000 * size for size in megabytes))
    others = sorted(count for person, count in accepted.items() if person != "greedy")
    assert others[0] > 0.6 * others[10]
    assert accepted["greedy"] < 1.3 * others[10]
    # Nobody is kept out for those who do not come.
    assert sum(accepted.values()) > 0.95 * 300.0 * 2 / mean_seconds
    assert sorted(waits)[round(0.99 * len(waits))] < 4.0


def test_one_person_alone_gets_all_there_is() -> None:
    accepted, _ = accepted_of_each({"only": 30}, 100.0)
    assert accepted["only"] > 0.95 * 100.0 * 2 / 0.25
