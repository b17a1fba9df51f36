"""Damaged files, ten thousand in `make soak`: the server lives, and every answer is within its limits.

A decoder may crash or be ended at a limit: that is what its process is for. How often, `make soak` notes.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from bad_uploads import SMALL_LIMITS
from impasto.studio.errors import RefusedError
from impasto.studio.queue.inputs import JobInputs
from impasto.studio.sandbox.clips import decode_clip
from impasto.studio.sandbox.exports import write_browser_view
from impasto.studio.sandbox.headers import detect_format
from impasto.studio.sandbox.isolation import run_sandboxed, wait_for_forkserver
from impasto.studio.sandbox.landlock import Fence
from impasto.studio.settings import StudioSettings
from mutated_files import mutated, sound_files
from serving import encoded

FILES = int(os.environ.get("IMPASTO_MUTATED_FILES", "40"))
FIRST = int(os.environ.get("IMPASTO_FIRST_MUTATION", "0"))  # so that a long run can be divided
TABLE = os.environ.get("IMPASTO_MUTATION_TABLE")
SECONDS = 10
INPUTS = JobInputs('{"size": 48, "coarsest": 48}', "{}", (None,), 0, 0)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * 3600)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pytest.importorskip("av", reason="no PyAV: pip install '.[video]'")
    wait_for_forkserver()
    return sound_files(tmp_path_factory.mktemp("sound"))


def outcome(function: Callable[..., Any], folder: Path, *arguments: Any) -> tuple[str, Any]:
    """``accepted`` with the answer, ``refused`` with the error, or ``ended`` at a limit or by a crash."""
    begin = time.monotonic()
    try:
        answer = run_sandboxed(
            function, folder, *arguments, memory=10**9, seconds=SECONDS, fence=Fence((folder,))
        )
    except RefusedError as error:
        ended = "takes more memory or time" in str(error)
        assert time.monotonic() - begin < 4 * SECONDS + 60
        return ("ended" if ended else "refused"), error
    return "accepted", answer


def check_refusal(error: RefusedError, folder: Path) -> None:
    line = str(error)
    assert error.status in (413, 415, 422), line
    assert len(line) < 500
    assert "\n" not in line
    assert str(folder.parent) not in line
    assert "root:" not in line  # of /etc/passwd


def check_view(answer: Any, folder: Path, limits: StudioSettings) -> None:
    """What the server reads of the answer, and what it gives out, is within the limits."""
    kind, (height, width) = answer
    assert kind in ("image", "video")
    assert 0 < height * width <= (limits.pixels if kind == "image" else limits.frame_pixels)
    assert {path.name for path in folder.iterdir()} == {"content", "look.jpg"}
    assert (folder / "look.jpg").stat().st_size < 5_000_000


def try_file(data: bytes, folder: Path, limits: StudioSettings, *, whole: bool = True) -> list[str]:
    """What becomes of a file: as a view, and with ``whole``, if it is a clip, with all its frames."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "content").write_bytes(data)
    result, answer = outcome(write_browser_view, folder, limits)
    if result != "accepted":
        check_refusal(answer, folder)
        return [result]
    check_view(answer, folder, limits)
    if answer[0] == "image" or not whole:
        return [result]
    (folder / "content.png").write_bytes(encoded("PNG", (64, 48)))
    (folder / "style-0.png").write_bytes(encoded("PNG", (40, 40)))
    detected = detect_format(folder / "content")
    assert detected is not None
    of_all, answer = outcome(decode_clip, folder, INPUTS, (), detected[1], limits.frames, 0)
    if of_all == "accepted":
        assert 0 < answer["frames"] <= limits.frames
    else:
        check_refusal(answer, folder)
    return [result, f"{of_all} as a whole"]


def record(counts: Counter[tuple[str, str]]) -> None:
    """Write the table of `make soak`: format, what became of its files, how many."""
    if TABLE:
        lines = [f"{name}\t{result}\t{count}\n" for (name, result), count in sorted(counts.items())]
        Path(TABLE).parent.mkdir(parents=True, exist_ok=True)
        Path(TABLE).write_text("".join(lines), encoding="utf-8")


def test_the_sound_files_are_accepted(sound: dict[str, bytes], tmp_path: Path) -> None:
    """Otherwise the mutations of a format would show nothing about its decoder."""
    limits = StudioSettings(data=tmp_path, **SMALL_LIMITS)
    for name, data in sound.items():
        results = try_file(data, tmp_path / "job", limits, whole=name == "MP4")
        assert results == (["accepted", "accepted as a whole"] if name == "MP4" else ["accepted"]), name


def test_mutated_files_harm_nobody(sound: dict[str, bytes], tmp_path: Path) -> None:
    limits = StudioSettings(data=tmp_path, **SMALL_LIMITS)
    outside = tmp_path / "studio.db"
    outside.write_bytes(b"private")
    process = psutil.Process()
    counts: Counter[tuple[str, str]] = Counter()
    names, handles = list(sound), process.num_fds()
    for seed in range(FIRST, FIRST + FILES):
        name = names[seed % len(names)]
        others = [data for other, data in sound.items() if other != name]
        try:
            results = try_file(mutated(sound[name], others, seed), tmp_path / "job", limits)
        except AssertionError as error:
            raise AssertionError(f"{name}, seed {seed}: {error}") from error
        counts.update((name, result) for result in results)
        if seed % 100 == 99 or seed == FIRST + FILES - 1:
            record(counts)
    assert process.num_fds() <= handles + 2
    assert sum(count for (_, result), count in counts.items() if "whole" not in result) == FILES
    assert counts.total() > sum(count for (_, result), count in counts.items() if result == "accepted")
    assert [path.name for path in tmp_path.iterdir() if path.name != "job"] == ["studio.db"]
    assert outside.read_bytes() == b"private"
