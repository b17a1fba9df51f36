"""A picture of a batch is the picture that ``stylize`` paints, byte for byte, whatever is shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from impasto import api
from impasto.batch import painting
from impasto.batch.painting import PaintingOptions, PicturePiece
from impasto.errors import PictureError
from impasto.feedforward.decoder import load_decoder
from impasto.feedforward.network import InstantNetwork
from impasto.networks.registry import load_encoder
from impasto.pictures import load
from impasto.pieces.piece import Files
from impasto.recipe import Recipe

from .conftest import QUICK


def piece(content: str, recipe: Recipe = QUICK, *styles: str, **options: object) -> PicturePiece:
    paths = [Path(style) for style in styles or ("wave.png",)]
    files = [Path(content), *paths]
    digests = {path: path.read_bytes().hex()[-200:] for path in files}
    return PicturePiece(Path("out.png"), files[0], tuple(paths), PaintingOptions(recipe, **options), digests)


def paint(made: PicturePiece, sent: Mapping[Path, bytes] | None = None) -> bytes:
    return made.work(Files(sent), lambda share: None).data


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    "settings",
    [{}, {"style_loss": ("gram", "nearest", "sliced")}, {"clean_chroma": 1.0}, {"colours": "match"},
     {"guidance": 1.0}, {"style_order": "coarse-to-fine", "style_blend": (2.0, 1.0)}, {"strength": 0.4},
     {"method": "instant"}],
    ids=str,
)  # fmt: skip
def test_the_bytes_are_those_of_stylize(settings: dict[str, object]) -> None:
    recipe = Recipe(size=64, **settings) if "method" in settings else QUICK.replace(**settings)
    styles = ("wave.png", "oil.png") if "style_blend" in settings else ("wave.png",)
    for content in ("in/0.png", "in/2.png", *([] if settings else ["in/1.png"])):  # the last is upright
        expected = api.stylize(content, list(styles), recipe=recipe).to_bytes("out.png")
        assert paint(piece(content, recipe, *styles)) == expected


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_what_is_shared_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory in (painting._encoders, painting._styles, painting._statistics):
        memory.clear()
    loads: list[str] = []

    def count(module: object, name: str) -> None:
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: (loads.append(name), function(*a, **k))[1])

    count(painting, "encoder_for")
    count(painting.engine, "style_statistics")
    for content in ("in/0.png", "in/1.png", "in/2.png"):  # upright or not: the long sides are the same
        paint(piece(content))
    assert loads == ["encoder_for", "style_statistics"]
    paint(piece("in/0.png", QUICK, "oil.png"))
    paint(piece("in/0.png", QUICK.replace(size=40)))
    assert loads == ["encoder_for"] + 3 * ["style_statistics"]

    loads.clear()
    painting._instant_styles.clear()
    count(painting.api, "instant_style")
    for content in ("in/0.png", "in/1.png", "in/2.png"):
        paint(piece(content, Recipe(size=64, method="instant")))
    assert loads == ["instant_style"]  # the encoder is the same


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_files_that_were_sent_give_the_same_bytes() -> None:
    made = piece("in/0.png", QUICK, init_image=Path("oil.png"))
    expected = paint(made)
    sent = {path: path.read_bytes() for path in made.inputs()}
    assert set(sent) == {Path("in/0.png"), Path("wave.png"), Path("oil.png")}
    for path in sent:
        path.unlink()
    assert paint(made, sent) == expected
    with pytest.raises(PictureError, match=r"'in/0\.png' is a text file"):
        paint(made, sent | {Path("in/0.png"): b"dear diary"})


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_a_saved_style_also_where_it_was_sent() -> None:
    network = InstantNetwork(load_encoder(), load_decoder())
    network.remember(load("wave.png").pixels).save("mine.safetensors")
    recipe = Recipe(size=64, method="instant")
    made = piece("in/0.png", recipe, "mine.safetensors")
    expected = api.instant("in/0.png", "mine.safetensors", size=64).to_bytes("out.png")
    assert paint(made) == expected
    painting._styles.clear()
    sent = {path: path.read_bytes() for path in made.inputs()}
    Path("mine.safetensors").unlink()
    assert paint(made, sent) == expected


@pytest.mark.usefixtures("workplace")
def test_the_identity_changes_with_contents_and_settings_only() -> None:
    made = piece("in/0.png")
    same = [
        replace(made, output=Path("other.png")),
        replace(made, options=replace(made.options, device="cpu", max_memory=1e9, tile=256)),
        replace(made, content=Path("b"), digests={Path("b"): made.digests[Path("in/0.png")], **made.digests}),
    ]
    others = [
        piece("in/1.png"), piece("in/0.png", QUICK, "oil.png"), piece("in/0.png", QUICK.replace(seed=1)),
        replace(made, output=Path("out.jpg")), piece("in/0.png", QUICK, quality=50),
        piece("in/0.png", QUICK, budget=3.0), piece("in/0.png", QUICK, "wave.png", "oil.png"),
    ]  # fmt: skip
    assert {each.identity for each in same} == {made.identity}
    assert len({each.identity for each in (made, *others)}) == len(others) + 1


def test_a_file_is_written_whole_into_a_new_folder(tmp_path: Path) -> None:
    made = PicturePiece(tmp_path / "new" / "a.png", Path("a"), (), PaintingOptions(QUICK), {})
    made.keep(painting.PaintedFile(b"picture", {}))
    assert made.output.read_bytes() == b"picture"
    blocked = replace(made, output=tmp_path / "new" / "a.png" / "b.png")
    with pytest.raises(PictureError, match="cannot be written"):
        blocked.keep(painting.PaintedFile(b"picture", {}))
