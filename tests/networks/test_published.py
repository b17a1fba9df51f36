"""The table of published weights: complete, consistent, and right where the weights are at hand."""

from __future__ import annotations

import pytest

from impasto.errors import WeightsError
from impasto.networks import weights
from impasto.networks.checkpoints import fingerprint
from impasto.networks.published import PUBLISHED
from weight_files import ORIGINAL


@pytest.mark.parametrize("name", ["vgg19", "vgg19-original"])
def test_the_registry_is_sound(name: str) -> None:
    entry = PUBLISHED[name]
    assert len(entry.sources) >= 2
    assert entry.licence
    assert "1409.1556" in entry.citation
    assert entry.sources[0].bytes, "the first says how much the download is"
    for source in entry.sources:
        assert source.url.startswith("https://")
        assert len(source.sha256) in (0, 8, 64)
        assert len(source.md5) in (0, 32)
        assert source.sha256 or source.md5
        assert len(source.sha256) == 64 or entry.fingerprints, "a weak digest needs the content's"


def test_torchvisions_name_agrees_with_the_digest() -> None:
    source = PUBLISHED["vgg19"].sources[0]
    assert source.sha256.startswith(source.filename.removeprefix("vgg19-").removesuffix(".pth"))


@pytest.mark.skipif(not ORIGINAL.exists(), reason="the original's first eight layers are not on this machine")
def test_the_originals_fingerprints() -> None:
    state = weights.ensure("vgg19-original", path=ORIGINAL)
    prints = PUBLISHED["vgg19-original"].fingerprints
    assert list(state) == list(prints)
    assert {key: fingerprint(value) for key, value in state.items()} == prints
    with pytest.raises(WeightsError, match="choose the encoder vgg19-original"):
        weights.ensure("vgg19", path=ORIGINAL)
