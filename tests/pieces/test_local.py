"""Pieces in this process and in several: shared cores, errors, deaths, stops."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import ImpastoError, RecipeError
from impasto.machine import available_memory
from impasto.pieces.local import LocalExecutor, local_executor, share_out, take_gpu
from impasto.pieces.piece import Needs
from small_pieces import squares


def workers() -> list[psutil.Process]:
    """The processes that work for this one."""
    children = psutil.Process().children()
    return [child for child in children if any("spawn_main" in word for word in child.cmdline())]


@given(
    st.integers(0, 500), st.integers(1, 256), st.integers(0, 64), st.sampled_from(["cpu", "cuda"]),
    st.integers(0, 8),
)  # fmt: skip
def test_threads_never_exceed_the_cores(
    pieces: int, cores: int, processes: int, device: str, gpus: int
) -> None:
    count, threads = share_out(pieces, cores, processes, device, gpus)
    assert 1 <= count <= max(1, pieces)
    assert threads >= 1
    assert count * threads <= max(cores, count)
    if not processes:
        assert count * threads <= cores or device != "cpu"
        assert device == "cpu" or count <= max(1, gpus)


def test_fewer_than_no_processes_are_refused() -> None:
    with pytest.raises(RecipeError, match="-1 processes; 0"):
        local_executor(4, processes=-1)


def test_only_as_many_processes_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    free = available_memory(torch.device("cpu"))
    assert local_executor(100, device="cpu", needs=Needs(memory=0.25 * free)) == LocalExecutor(3, 5)
    alone = LocalExecutor(1, torch.get_num_threads())  # its threads are the user's choice
    assert local_executor(100, device="cpu", needs=Needs(memory=9 * free)) == alone
    assert local_executor(100, device="cpu").processes == 16
    assert local_executor(100, processes=8, device="cpu", needs=Needs(memory=free)) == LocalExecutor(8, 2)


def test_one_process_is_this_one_with_its_own_threads(tmp_path: Path) -> None:
    pieces, shares = squares(tmp_path, 3, _1="refuse"), []
    executor = local_executor(3, processes=1)
    outcomes = list(executor.run(pieces, lambda index, share: shares.append((index, share))))
    assert [(each.index, each.result, each.error) for each in outcomes] == [
        (0, "0 with 1", None), (1, None, "this one not"), (2, "4 with 1", None),
    ]  # fmt: skip
    assert shares == [(0, 0.5), (2, 0.5)]


def test_processes_take_one_gpu_each_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert share_out(9, 16, 0, "cuda", 2) == (2, 8)
    begun, seen = multiprocessing.Value("i", 0), []
    for _ in range(3):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
        take_gpu(("4", "7"), begun)
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == ["4", "7", "4"]
    take_gpu((), begun)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"


def test_only_a_choice_of_any_gpu_is_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert local_executor(9, device="cuda", needs=Needs(memory=1e15)).gpus == ("4", "7")
    assert local_executor(9, device="cuda:1") == LocalExecutor(1, torch.get_num_threads())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert local_executor(9, device="cuda").gpus == ("0", "1")


@pytest.mark.slow
def test_several_processes_do_all_pieces_once(tmp_path: Path) -> None:
    pieces = squares(tmp_path, 9, _4="break")
    before = torch.get_num_threads()
    outcomes = list(LocalExecutor(2, 3).run(pieces, lambda index, share: None))
    assert sorted(each.index for each in outcomes) == list(range(9))
    results = {each.index: each.result for each in outcomes if each.error is None}
    assert results == {number: f"{number**2} with 3" for number in range(9) if number != 4}
    assert torch.get_num_threads() == before
    assert not workers()


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_killed_process_is_one_line(tmp_path: Path) -> None:
    pieces = squares(tmp_path, 3, _1="die")
    with pytest.raises(ImpastoError, match=r"killed, most likely because memory ran out; .* fewer processes"):
        list(LocalExecutor(2, 1).run(pieces, lambda index, share: None))


def test_a_process_that_is_found_killed_at_the_next_piece_is_the_same_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    with pytest.raises(ImpastoError, match="a process was killed"):
        list(LocalExecutor(2, 1).run(squares(tmp_path, 1), lambda index, share: None))
