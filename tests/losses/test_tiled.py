"""Features of pictures in tiles: the same as of the whole picture, and sums over the parts."""

from __future__ import annotations

import pytest
import torch

from fakes import picture, tiny_encoder
from impasto.losses.tiled import TiledEncoder, add_up, as_mapping, size_of
from impasto.networks.layers import geometry
from impasto.pictures.geometry import tiles

LAYERS = ("relu1_1", "conv2_1", "relu3_1")


def tiled(tile: int | None, *, padding: str = "reflect") -> TiledEncoder:
    return TiledEncoder(tiny_encoder(dtype=torch.float64, padding=padding), tile)


@pytest.mark.parametrize(
    ("size", "tile", "padding"),
    [((48, 64), 16, "reflect"), ((37, 50), 20, "reflect"), ((37, 50), 20, "zeros"),
     ((48, 64), 16, "circular")],
)  # fmt: skip
def test_features_put_together_from_tiles_are_those_of_the_whole(size, tile, padding):
    encoder, image = tiled(tile, padding=padding), picture(*size).double()
    assert len(encoder.tiles(size, LAYERS, wrap=encoder.repeats)) > 4
    whole, together = encoder.encoder(image, LAYERS), encoder.features(image, LAYERS)
    assert list(together) == list(LAYERS)
    for layer in LAYERS:
        torch.testing.assert_close(together[layer], whole[layer], rtol=0, atol=1e-12)


def test_each_part_has_its_own_rows_of_features_and_its_pixels_without_the_halo():
    encoder, image = tiled(16), picture(48, 64).double()
    whole, covered = encoder.encoder(image, LAYERS), torch.zeros(48, 64)
    for part in encoder.parts(image, LAYERS):
        place = tuple(slice(*span) for span in (part.tile.rows, part.tile.columns))
        covered[place] += 1
        assert torch.equal(part.without_halo(part.image), image[(..., *place)])
        for layer in LAYERS:
            stride = geometry(layer).stride
            rows = slice(*(side // stride for side in part.tile.rows))
            columns = slice(*(side // stride for side in part.tile.columns))
            torch.testing.assert_close(part.features[layer], whole[layer][..., rows, columns])
    assert torch.equal(covered, torch.ones(48, 64))


def test_pixels_beyond_a_tile_are_kept_as_far_as_its_halo_goes():
    image = torch.arange(3.0 * 8 * 12).view(1, 3, 8, 12)
    encoder = tiled(4)
    first, *_, last = encoder.parts(image.double(), ())
    assert torch.equal(first.without_halo(first.image, beyond=1), image[..., :5, :5].double())
    assert torch.equal(last.without_halo(last.image, beyond=1), image[..., 4:, 8:].double())


def test_a_style_never_repeats_though_the_canvas_does():
    image = picture(32, 48).double()
    (style,) = tiled(None, padding="circular").style_parts(image, LAYERS)
    (canvas,) = tiled(None, padding="circular").parts(image, LAYERS)
    reflected = tiny_encoder(dtype=torch.float64)(image, LAYERS)
    for layer in LAYERS:
        torch.testing.assert_close(style.features[layer], reflected[layer])
        assert float((canvas.features[layer] - reflected[layer]).abs().max()) > 1e-3
    in_tiles = add_up(
        tiled(16, padding="circular").style_parts(image, LAYERS),
        lambda part: {layer: part.features[layer].sum((0, 2, 3)) for layer in LAYERS},
    )
    for layer in LAYERS:
        torch.testing.assert_close(in_tiles[layer], reflected[layer].sum((0, 2, 3)))


def test_halos_are_as_wide_as_the_deepest_layer_sees():
    encoder = tiled(32)
    for layers, radius in (((), 1), (("relu1_1",), 1), (LAYERS, 10)):
        middle = encoder.tiles((96, 96), layers, wrap=False)[4]
        assert (middle.rows, middle.columns) == ((32, 64), (32, 64))
        assert 32 - middle.outer_rows[0] >= radius
        assert 32 - middle.outer_rows[0] < radius + 4
    assert tiled(None).tiles((96, 96), LAYERS, wrap=False) == tiles((96, 96), None, 1, 0)


def test_sums_over_parts_go_by_name():
    (whole,) = tiled(None).parts(picture(16, 16).double(), ())
    numbers = iter([{"a": torch.tensor(1.0), "b": torch.tensor([1.0, 2.0])}, {"a": torch.tensor(5.0)}])
    total = add_up([whole, whole], lambda part: next(numbers))
    assert total["a"] == 6.0
    assert total["b"].tolist() == [1.0, 2.0]
    assert add_up([], lambda part: {}) == {}


def test_a_single_tensor_is_a_mapping_with_an_empty_name():
    value = torch.ones(2)
    assert as_mapping(value) == {"": value}
    assert as_mapping({"a": value}) == {"a": value}
    assert size_of(torch.zeros(1, 3, 5, 7)) == (5, 7)
