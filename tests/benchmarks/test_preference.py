"""Blind comparison: sheets hide, the key reveals, rates count right, measures rise with what they name."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import ndimage

from conftest import ROOT
from fakes import checks, picture
from impasto import pictures, samples
from impasto.pictures.colour import from_oklab, to_oklab
from impasto.pictures.geometry import resample

PROGRAMS = ("one", "two", "three")


@pytest.fixture
def preference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield importlib.import_module("preference")
    sys.modules.pop("preference")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("looks")


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    for index, program in enumerate(PROGRAMS):
        (tmp_path / program).mkdir()
        for number in range(6):
            pictures.save(tmp_path / program / f"c{number}--s.png", picture(32, 40, 10 * number + index))
    pictures.save(tmp_path / "one" / "alone--s.png", picture())
    return {program: tmp_path / program for program in PROGRAMS}


def test_sheets_are_shuffled_and_the_key_tells(preference, folders, tmp_path):
    key = preference.make_sheets(tmp_path / "out", folders, seed=3, side=64)
    assert json.loads((tmp_path / "out" / "key.json").read_text()) == key
    assert len(key) == 6  # the pair that one program alone has is left out
    assert len({tuple(letters.values()) for letters in key.values()}) > 1
    assert all(sorted(letters.values()) == sorted(PROGRAMS) for letters in key.values())
    sheet = pictures.load(tmp_path / "out" / "c0--s.png").pixels
    first = pictures.load(folders[key["c0--s"]["A"]] / "c0--s.png").pixels
    assert torch.equal(sheet[..., 22 : 22 + 32, 6 : 6 + 40], first)
    assert preference.make_sheets(tmp_path / "again", folders, seed=3, side=64) == key


def judgements(path: Path, key: dict[str, dict[str, str]], *, best: str) -> Path:
    """Two judges who always prefer one program; the other two keep their letters' order."""
    lines = ["pair,judge,ranking,reason"]
    for pair, letters in key.items():
        order = sorted(letters, key=lambda letter: (letters[letter] != best, letters[letter]))
        lines += [f'{pair},{judge},{"".join(order)},"clean, calm"' for judge in ("j1", "j2")]
    path.write_text("\n".join(lines))
    return path


def test_rates_are_counted_and_the_interval_is_wilsons(preference, folders, tmp_path):
    key = preference.make_sheets(tmp_path / "out", folders, seed=0, side=64)
    rankings = preference.read_rankings(judgements(tmp_path / "j.csv", key, best="two"), key)
    rates = preference.win_rates(rankings)
    assert rates["two", "one"] == (12, 12)
    assert rates["one", "two"] == (0, 12)
    assert rates["one", "three"] == (12, 12)
    low, high = preference.interval(8, 12)
    z, p, n = 1.959964, 8 / 12, 12
    centre, half = (p + z * z / (2 * n)), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert (low, high) == pytest.approx([(centre + s * half) / (1 + z * z / n) for s in (-1, 1)], abs=1e-5)


def test_a_ranking_with_a_letter_missing_is_refused(preference, folders, tmp_path):
    key = preference.make_sheets(tmp_path / "out", folders, seed=0, side=64)
    (tmp_path / "j.csv").write_text("pair,judge,ranking,reason\nc0--s,j1,AB,")
    with pytest.raises(SystemExit, match="rank each letter once"):
        preference.read_rankings(tmp_path / "j.csv", key)


def test_agreement_tells_a_measure_that_follows_people_from_one_that_does_not(preference):
    rankings = [(f"p{i}", "j", ["good", "fair", "poor"]) for i in range(10)]
    follows = {(f"p{i}", name): v for i in range(10) for name, v in (("good", 3), ("fair", 2), ("poor", 1))}
    assert preference.agreement(rankings, follows) == (1.0, 30)
    assert preference.agreement(rankings, {key: -value for key, value in follows.items()}) == (0.0, 30)
    assert preference.agreement(rankings, dict.fromkeys(follows, 1.0)) == (0.5, 0)


@pytest.mark.slow
def test_the_commands_run(preference, folders, tmp_path, capsys):
    programs = [text for name, folder in folders.items() for text in ("--program", f"{name}={folder}")]
    out, table = tmp_path / "out", tmp_path / "measures.csv"
    preference.main(["sheets", str(out), *programs])
    key = json.loads((out / "key.json").read_text())
    file = judgements(tmp_path / "j.csv", key, best="one")
    preference.main(["rates", str(out / "key.json"), str(file)])
    assert "one              over two               12 of  12  100%" in capsys.readouterr().out
    for number in range(6):
        pictures.save(tmp_path / f"c{number}.png", picture(96, 128, 50 + number))
    pictures.save(tmp_path / "s.png", checks(96, 96))
    places = ["--contents", str(tmp_path), "--styles", str(tmp_path), "--output", str(table)]
    preference.main(["measures", str(out / "key.json"), *programs, *places])
    assert len(table.read_text().splitlines()) == 1 + 6 * 3
    preference.main(["agreement", str(out / "key.json"), str(file), str(table)])
    assert "finest_chroma" in capsys.readouterr().out


@pytest.fixture(scope="module")
def photograph() -> torch.Tensor:
    return resample(samples.photograph("coffee"), (192, 288))


@pytest.fixture(scope="module")
def style() -> torch.Tensor:
    return samples.painting("swirl", size=192)


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    return torch.from_numpy(ndimage.gaussian_filter(image.numpy(), (0, 0, sigma, sigma)))


def test_photographic_detail_is_all_in_the_photograph_and_gone_in_a_blurred_one(looks, photograph, style):
    assert looks.photographic_detail(photograph, photograph, style) == pytest.approx(1.0)
    noise = 0.1 * torch.randn(photograph.shape, generator=torch.Generator().manual_seed(0))
    other = (blurred(photograph, 4.0) + noise).clamp(0, 1)
    assert abs(looks.photographic_detail(other, photograph, style)) < 0.1


def test_a_weave_is_a_grid_and_noise_is_not(looks, style):
    flat = torch.full((1, 3, 192, 192), 0.5)
    noise = 0.02 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(1))
    weave = 0.02 * torch.sin(torch.arange(192) * 2 * torch.pi / 8).expand(1, 3, 192, 192)
    assert looks.grid(flat + noise, flat, style) < 5
    assert looks.grid(flat + noise + weave, flat, style) > 8


def test_ghosts_are_structure_where_the_content_is_quiet(looks, style):
    flat = torch.full((1, 3, 192, 192), 0.5)
    content = flat.clone()
    content[..., 96:] = picture(192, 96)
    ghost = content.clone()
    ghost[..., 40:60, 20:40] = 0.9
    assert looks.ghosts(ghost, content, style) > 4 * looks.ghosts(content, content, style)


def test_chroma_noise_shimmers(looks, photograph, style):
    lab = to_oklab(photograph)
    noise = 0.05 * torch.randn(lab[:, 1:].shape, generator=torch.Generator().manual_seed(2))
    shimmering = from_oklab(torch.cat([lab[:, :1], lab[:, 1:] + noise], 1))
    assert looks.finest_chroma(shimmering, photograph, style) > 2 * looks.finest_chroma(
        photograph, photograph, style
    )


def test_outlines_kept_and_lost(looks, photograph, style):
    assert looks.key_features(photograph, photograph, style) > 0.99
    assert looks.key_features(photograph.flip(-1), photograph, style) < 0.7
    assert looks.contours(photograph, photograph, style) > looks.contours(
        photograph.flip(-1), photograph, style
    )


def test_palettes_and_hues(looks, photograph, style):
    assert looks.palette_distance(photograph, photograph, photograph) < 0.02
    assert looks.palette_distance(photograph, photograph, style) > 0.1
    lab = to_oklab(style)
    red = from_oklab(torch.stack([lab[:, 0], 0 * lab[:, 1] + 0.15, 0 * lab[:, 2] + 0.05], 1))
    blue = from_oklab(torch.stack([lab[:, 0], 0 * lab[:, 1] - 0.03, 0 * lab[:, 2] - 0.15], 1))
    assert looks.leftover_hue(red, red, blue) > 0.9
    assert looks.leftover_hue(blue, red, blue) < 0.05
    assert np.isfinite(list(looks.measure(style, photograph, style).values())).all()
