"""What the files paint is what PyTorch paints: at fixed and free sizes, and in tiles by the docs' program."""

from __future__ import annotations

import re

import onnx
import pytest
import torch
import torch.nn.functional as F

from conftest import ROOT
from impasto.errors import WeightsError
from impasto.feedforward.export.files import difference, write_parts, write_whole
from impasto.feedforward.network import InstantNetwork, StyledRegion
from impasto.feedforward.statistics import BANK_LAYERS
from impasto.feedforward.style import InstantStyle

#: Largest difference of a pixel in [0, 1]; measured: 1e-5.
CLOSE = 1e-3


def picture(height: int, width: int, seed: int = 0, cells: int = 9) -> torch.Tensor:
    coarse = torch.rand(1, 3, cells, cells, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.slow
def test_one_file_of_fixed_sizes_pads_by_itself(builder, run):
    content, style = picture(85, 66), picture(90, 75, 5, cells=30)
    model = builder.whole((85, 66), (90, 75))
    painted = run(model, picture=content, style=style, strength=torch.tensor([0.6]))["painted"]
    network = InstantNetwork(builder.encoder, builder.decoder)
    expected = network.paint(content, [StyledRegion(network.remember(style))], strength=0.6)
    torch.testing.assert_close(painted, expected, atol=CLOSE, rtol=0)
    assert (expected - content).abs().mean() > 0.02
    assert not {"Shape", "Size", "Range", "Loop", "Scan", "If"} & {node.op_type for node in model.graph.node}


@pytest.mark.slow
def test_one_file_of_free_sizes_takes_any_size(builder, run):
    model = builder.whole()
    assert [o.version for o in model.opset_import] == [17]
    for height, width in ((96, 72), (16, 128)):
        content, style = picture(height, width), picture(width, height, 5, cells=30)
        painted = run(model, picture=content, style=style, strength=torch.ones(1))["painted"]
        assert difference(builder, painted, content, style, free_style=True) < CLOSE


@pytest.mark.slow
def test_a_style_within_the_file(builder, run):
    network = InstantNetwork(builder.encoder, builder.decoder)
    style = network.remember(picture(90, 75, 5, cells=30))
    model = builder.whole(style=style)
    assert [i.name for i in model.graph.input] == ["picture", "strength"]
    content = picture(96, 72)
    painted = run(model, picture=content, strength=torch.tensor([0.6]))["painted"]
    expected = network.paint(content, [StyledRegion(style)], strength=0.6)
    torch.testing.assert_close(painted, expected, atol=CLOSE, rtol=0)


@pytest.mark.slow
def test_the_program_of_the_docs_paints_exact_tiles(builder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files, gap = write_parts("instant.onnx", builder)
    assert [file.name for file in files] == [f"instant-{p}.onnx" for p in ("statistics", "maps", "painting")]
    assert gap < CLOSE
    page = (ROOT / "docs" / "instant.md").read_text(encoding="utf-8")
    program = next(p for p in re.findall(r"```python\n(.*?)```", page, re.S) if "onnxruntime" in p)
    names: dict[str, object] = {}
    exec(compile(program, "instant.md", "exec"), names)
    content, style = (torch.from_numpy(names[name]) for name in ("picture", "style"))
    network = InstantNetwork(builder.encoder, builder.decoder)
    raw = builder.encoder(style, BANK_LAYERS).raw
    banks = {k: raw[k].flatten(2)[:, :, names["positions"][f"positions_{k}"]].mT for k in BANK_LAYERS}
    remembered = InstantStyle(network.remember(style).moments, banks)
    expected = network.paint(content, [StyledRegion(remembered)], tile=None)
    torch.testing.assert_close(torch.from_numpy(names["painted"]), expected, atol=CLOSE, rtol=0)


@pytest.mark.slow
def test_a_tile_of_a_fixed_size_has_no_shape_arithmetic(builder, tmp_path):
    (_, _, painting), gap = write_parts(tmp_path / "fixed.onnx", builder, size=(64, 96))
    assert gap < CLOSE
    operators = {node.op_type for node in onnx.load(painting).graph.node}
    assert not {"Shape", "Size", "Range"} & operators


def test_a_folder_that_cannot_be_written_to(builder, tmp_path):
    with pytest.raises(WeightsError, match="cannot be written"):
        write_whole(tmp_path / "absent" / "a.onnx", builder, size=(16, 16), style_size=(16, 16))


def test_another_picture_is_seen_as_different(builder):
    content, style = picture(32, 32), picture(32, 32, 5, cells=12)
    assert difference(builder, content, content, style, free_style=True) > 20 * CLOSE
