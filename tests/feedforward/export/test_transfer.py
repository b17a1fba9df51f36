"""Each part of the graph against what it stands for: eigenvalue maps, matching in chunks, endless noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from impasto.feedforward import maps
from impasto.feedforward.colours import colour_cost
from impasto.feedforward.export import transfer
from impasto.feedforward.export.graph import Graph
from impasto.feedforward.export.transfer import LayerMoments
from impasto.feedforward.network import InstantNetwork
from impasto.feedforward.noise import noise_field
from impasto.feedforward.statistics import LEVELS, Moments, feature_moments


def picture(height: int, width: int, seed: int, cells: int) -> torch.Tensor:
    coarse = torch.rand(1, 3, cells, cells, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


#: Pictures whose covariances are nearly singular, each in another way.
PICTURES = {
    "colours": picture(96, 96, 1, 20),
    "grey": picture(96, 96, 2, 9).mean(1, keepdim=True).expand(1, 3, 96, 96),
    "stripes": (picture(96, 96, 3, 30).mean(1, keepdim=True) > 0.5).float().expand(1, 3, 96, 96),
    "tiny": picture(16, 16, 4, 4),
    "one colour": torch.full((1, 3, 96, 96), 0.4),
}


def transported(
    run, content: Moments, style: Moments, cost: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """The map by the graph."""
    graph, c = Graph(), content.mean.shape[1]
    of = [LayerMoments(graph.input(f"mean{k}", [c]), graph.input(f"covariance{k}", [c, c])) for k in "01"]
    move = transfer.transport(graph, *of, c, cost=None if cost is None else cost.numpy())
    for name, value in move._asdict().items():
        graph.output(name, value, [c] if name == "offset" else [c, c])
    values = {f"mean{k}": m.mean[0].float() for k, m in zip("01", (content, style), strict=True)}
    values |= {f"covariance{k}": m.covariance[0].float() for k, m in zip("01", (content, style), strict=True)}
    return run(graph.model("map", "", {}), **values)


@pytest.mark.slow
@pytest.mark.parametrize("content", PICTURES)
@pytest.mark.parametrize("style", ["colours", "grey", "tiny"])
def test_the_map_is_that_of_the_eigenvalues(builder, run, content, style):
    network = InstantNetwork(builder.encoder, builder.decoder)
    of_content, of_style = (network.remember(PICTURES[name]).moments for name in (content, style))
    for layer in LEVELS[1:]:
        c, s = of_content[layer], of_style[layer]
        cost = colour_cost(layer)
        expected, found = maps.transport(c, s, cost=cost), transported(run, c, s, cost)
        deviation = s.covariance[0].trace().sqrt()
        torch.testing.assert_close(
            found["style_root"] / deviation, expected.style_root[0] / deviation, atol=1e-5, rtol=0,
            check_dtype=False,
        )  # fmt: skip
        # What the difference of the maps does to features of the content, in the style's standard deviation.
        gap = (found["matrix"] - expected.matrix[0]).double()
        assert (gap @ c.covariance[0] @ gap.T).trace().clamp_min(0).sqrt() < 5e-4 * deviation
        moved = found["matrix"] @ c.mean[0].float() + found["offset"]
        rounding = 1e-6 * float(expected.matrix.norm() * c.mean.norm())  # of products in float32
        torch.testing.assert_close(moved, s.mean[0].float(), atol=1e-4 * float(deviation) + rounding, rtol=0)


def test_two_plain_gaussians(run):
    """Of diagonal covariances the map is the ratio of deviations."""
    content = Moments(torch.zeros(1, 3).double(), torch.diag(torch.tensor([1.0, 4.0, 9.0])).double()[None])
    style = Moments(torch.ones(1, 3).double(), (torch.diag(torch.tensor([4.0, 4.0, 1.0])) + 1).double()[None])
    found = transported(run, content, style)
    np.testing.assert_allclose(found["matrix"], maps.CONTRAST * np.diag([2.0, 1.0, 1 / 3]), atol=2e-2)
    np.testing.assert_allclose(found["offset"], np.ones(3), atol=1e-6)
    np.testing.assert_allclose(found["style_root"], np.diag([2.0, 2.0, 1.0]), atol=1e-5)


@pytest.mark.parametrize("head", [None, torch.randn(4, 5, generator=torch.Generator().manual_seed(7))])
def test_matching_in_chunks_finds_the_nearest(run, head):
    generator = torch.Generator().manual_seed(0)
    features, bank = torch.randn(1, 5, 9, 7, generator=generator), torch.randn(300, 5, generator=generator)
    mean = torch.randn(5, generator=generator)
    graph = Graph()
    names = graph.input("f", [1, 5, "h", "w"]), graph.input("bank", [300, 5]), graph.input("mean", [5])
    found = transfer.nearest(graph, *names, head, 300)
    graph.output("found", found, [1, 5, "h", "w"])
    result = run(graph.model("nearest", "", {}), f=features, bank=bank, mean=mean)["found"]
    index = maps.nearest(features.flatten(2).mT, bank[None], mean[None], head)
    torch.testing.assert_close(result, bank[index[0]].T.view(1, 5, 9, 7))


@pytest.mark.parametrize("grid", [None, (5, 70)])
def test_noise_is_a_window_of_the_endless_field(run, grid):
    root = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    graph = Graph()
    features, first = graph.input("f", [1, 2, 5, 70]), graph.input("first", [2], "int64")
    names = graph.input("root", [2, 2])
    noise = transfer.coloured_noise(graph, features, 2, names, first=first, grid=grid, seed=3)
    graph.output("noise", noise, [1, 2, "h", "w"])
    values = {"f": torch.zeros(1, 2, 5, 70), "root": root, "first": torch.tensor([61, 130])}
    result = run(graph.model("noise", "", {}), **values)["noise"]
    expected = torch.einsum("dc,nchw->ndhw", root, noise_field(2, 5, 70, 61, 130, seed=3))
    torch.testing.assert_close(result, expected)


def test_moments_with_weights(run):
    features = torch.randn(1, 6, 12, 8, generator=torch.Generator().manual_seed(1))
    weights = torch.rand(1, 1, 12, 8, generator=torch.Generator().manual_seed(2))
    graph = Graph()
    names = graph.input("f", [1, 6, "h", "w"]), graph.input("w", [1, 1, "h", "w"])
    for kind, given in (("plain", None), ("weighted", names[1])):
        moments = transfer.moments(graph, names[0], 6, weights=given)
        graph.output(f"mean_{kind}", moments.mean, [6])
        graph.output(f"covariance_{kind}", moments.covariance, [6, 6])
    result = run(graph.model("moments", "", {}), f=features, w=weights / weights.sum())
    for kind, given in (("plain", None), ("weighted", weights)):
        expected = feature_moments(features, given)
        torch.testing.assert_close(result[f"mean_{kind}"], expected.mean[0].float())
        torch.testing.assert_close(result[f"covariance_{kind}"], expected.covariance[0].float())


@pytest.mark.parametrize(("side", "most"), [(32, 1), (64, 1), (8, 16)])
def test_the_positions_of_a_bank_are_evenly_scattered(side, most):
    places = (transfer.bank_coordinates() * side).long()
    assert places.min() >= 0
    assert places.max() < side
    counts = torch.bincount(places[:, 0] * side + places[:, 1], minlength=side * side)
    assert int(counts.max()) == most
