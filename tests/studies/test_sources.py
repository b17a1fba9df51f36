"""A study's pictures by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import picture
from impasto import pictures
from impasto.errors import PictureError
from impasto.studies import sources


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_an_inset_covers_its_share(share: float) -> None:
    whole = sources.inset("glass", "woodcut", share)
    ground = sources.inset("glass", "woodcut", 0.0)
    assert float((whole != ground).any(1).float().mean()) == pytest.approx(share, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec", ["inset:mosaic:wave", "inset:mosaic:wave:2", "inset:x:wave:0.5", "painting:x"]
)
def test_wrong_samples_are_refused(spec: str) -> None:
    with pytest.raises(PictureError):
        sources.picture(spec)


def test_the_digest_of_a_file_is_of_its_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    pictures.save(first, picture(16, 16, 1))
    pictures.save(second, picture(16, 16, 2))
    assert sources.digest(str(first)) != sources.digest(str(second))
    assert sources.digest("painting:wave") == "painting:wave"
    assert float((sources.picture(str(first)).pixels - picture(16, 16, 1)).abs().max()) < 0.01
    pictures.save(first, picture(16, 16, 2))  # what it is now counts, in a notebook too
    assert sources.digest(str(first)) == sources.digest(str(second))
    assert float((sources.picture(str(first)).pixels - picture(16, 16, 2)).abs().max()) < 0.01
    with pytest.raises(PictureError, match="cannot be read"):
        sources.digest(str(tmp_path / "none.png"))
