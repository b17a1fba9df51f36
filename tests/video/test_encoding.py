"""A run that was killed while it wrote its pictures goes on; a folder that is whole is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from impasto import pictures
from impasto.errors import VideoError
from impasto.video import encoding
from impasto.video.encoding import encode
from impasto.video.job import VideoJob, prepare_video


class Killed(BaseException):
    """What a signal would do."""


@pytest.mark.usefixtures("tiny_jobs")
def test_a_folder_of_pictures_that_was_begun_is_written_to_its_end(
    tmp_path: Path, clip: Path, style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, finished, told = tmp_path / "painted", 0, list[int]()

    def frames(job: VideoJob) -> Iterator[tuple[int, np.ndarray]]:
        for index in range(3):
            if index == finished:
                raise Killed
            yield index, np.full((8, 8, 3), 10 * index, np.uint8)

    def prepare(*, restart: bool = False) -> VideoJob:
        return prepare_video(clip, style, output, restart=restart)

    monkeypatch.setattr(encoding, "finished_frames", frames)
    prepare()
    output.mkdir()
    (output / "000000.png").write_text("somebody else's")
    with pytest.raises(VideoError, match="exists already"):
        prepare()
    (output / "000000.png").unlink()
    for count in (2, 1):
        finished = count
        with pytest.raises(Killed):
            encode(prepare(), told.append)
        assert sorted(path.name for path in output.iterdir()) == ["000000.png", "000001.png"]
    with pytest.raises(VideoError, match="exists already"):
        prepare(restart=True)  # pictures of another run could stay among the new ones
    finished = 3
    encode(prepare(), told.append)
    greys = [float(pictures.load(path).pixels.mean()) * 255 for path in sorted(output.iterdir())]
    assert greys == pytest.approx([0, 10, 20])
    assert told == [1, 2, 1, 1, 2, 3]
    with pytest.raises(VideoError, match="exists already"):
        prepare()
