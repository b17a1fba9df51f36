"""Slow float64 twins in NumPy, written from the papers' formulas, which share no code with the package.

Pictures and features are (C, H, W) arrays here, without the batch axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from scipy.signal import correlate2d

Array = NDArray[np.float64]

NUMPY_PADDING = {"reflect": "reflect", "circular": "wrap", "replicate": "edge", "zeros": "constant"}
FLOOR = 1e-6  # what the relative normalisation adds to the mean square in its denominator


def gram(features: Array, weights: Array | None = None) -> Array:
    """G_ij = Σ_p t_p F_ip F_jp / Σ_p t_p, one position at a time."""
    channels, height, width = features.shape
    total, mass = np.zeros((channels, channels)), 0.0
    for row in range(height):
        for column in range(width):
            t = 1.0 if weights is None else float(weights[row, column])
            f = features[:, row, column]
            total += t * f[:, None] * f[None, :]
            mass += t
    return total / mass


def moments(features: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """E[f], (C,), and E[f fᵀ], (C, C), under the weights (H, W)."""
    t = np.ones(features.shape[1:]) if weights is None else weights
    mean = np.array([(plane * t).sum() / t.sum() for plane in features])
    return mean, gram(features, t)


def mask_on_grid(mask: Array, height: int, width: int) -> Array:
    """Mean of the mask over the cell of each feature, (height, width).

    Neighbouring cells share a pixel where the number of features does not divide the side of the mask.
    """
    rows, columns = mask.shape
    means = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            top, bottom = i * rows // height, -(-(i + 1) * rows // height)
            left, right = j * columns // width, -(-(j + 1) * columns // width)
            means[i, j] = mask[top:bottom, left:right].mean()
    return means


def content_loss(features: Array, target: Array, normalisation: str, mask: Array | None = None) -> float:
    """relative Σt(F−P)²/ΣtP²; gatys ½Σt(F−P)²; neural-style Σt(F−P)²/(C·M)."""
    t = np.ones(features.shape[1:]) if mask is None else mask_on_grid(mask, *features.shape[1:])
    error = sum(float((t * (f - p) ** 2).sum()) for f, p in zip(features, target, strict=True))
    energy = sum(float((t * p**2).sum()) for p in target)
    return {
        "relative": error / (energy + FLOOR * target.size),
        "gatys": 0.5 * error,
        "neural-style": error / target.size,
    }[normalisation]


def gram_loss(matrix: Array, target: Array, normalisation: str) -> float:
    """relative ‖G−A‖²/‖A‖²; gatys Σ(G−A)²/4C²; neural-style mean((G−A)²)/C² (its Gram is ours over C)."""
    channels = len(matrix)
    error = sum((matrix[i, j] - target[i, j]) ** 2 for i in range(channels) for j in range(channels))
    energy = sum(target[i, j] ** 2 for i in range(channels) for j in range(channels))
    return {
        "relative": error / (energy + FLOOR**2 * channels**2),
        "gatys": error / (4.0 * channels**2),
        "neural-style": float(((matrix / channels - target / channels) ** 2).mean()),
    }[normalisation]


def wasserstein_loss(features: Array, target: Array) -> float:
    """‖μ−ν‖² + tr(A + B − 2(B^½ A B^½)^½) over E‖target‖², for features (n, C).

    Both covariances get a ridge of 1e-4 times the target's mean square.
    """
    energy = float((target**2).sum(1).mean()) + FLOOR * target.shape[1]
    ridge = 1e-4 * energy / target.shape[1] * np.eye(target.shape[1])
    a, b = (np.cov(rows.T, bias=True) + ridge for rows in (features, target))
    root = np.real(sqrtm(b))
    spread = np.trace(a + b - 2 * np.real(sqrtm(root @ a @ root)))
    return float(((features.mean(0) - target.mean(0)) ** 2).sum() + spread) / energy


def sorted_gap(features: Array, target: Array) -> float:
    """Mean square difference of the sorted values, summed over channels, over E‖target‖²; both (n, C)."""
    total = 0.0
    for a, b in zip(features.T, target.T, strict=True):
        total += sum((x - y) ** 2 for x, y in zip(sorted(a), sorted(b), strict=True)) / len(a)
    return total / (float((target**2).sum(1).mean()) + FLOOR * target.shape[1])


def cosine_distance(a: Array, b: Array) -> float:
    """1 − cos of the angle between two vectors."""
    return 1.0 - float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b))


def relaxed_emd(features: Array, target: Array) -> float:
    """The larger of the two mean cosine distances to the nearest of the others, around the target's mean."""
    centre = target.mean(0)
    table = np.array([[cosine_distance(a - centre, b - centre) for b in target] for a in features])
    return float(max(table.min(1).mean(), table.min(0).mean()))


def finishing(features: Array, bank: Array, weights: Array) -> float:
    """Σ t (1 − cos) to the nearest row of the bank (m, C), both centred on its mean, over Σ t."""
    centre = bank.mean(0)
    total = 0.0
    for feature, weight in zip(features, weights, strict=True):
        total += weight * min(cosine_distance(feature - centre, row - centre) for row in bank)
    return total / weights.sum()


def use_of_styles(scores: Array, weights: Array) -> Array:
    """The use of m directions (m,): weights (n,), each divided by softmax of its scores (n, m)."""
    shares = np.exp(scores - scores.max(1, keepdims=True))
    return weights @ (shares / shares.sum(1, keepdims=True))


def skin_likelihood(pictures: Array) -> Array:
    """Soft bounds (Chai & Ngan 1999) on Y, Cb and Cr of (N, 3, H, W), by JFIF's matrix; (N, 1, H, W)."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    y, blue, red = np.moveaxis(np.einsum("ij,njhw->nihw", matrix, 255 * pictures), 1, 0)
    rises = [(y - 40) / 30, (blue + 55) / 8, (3 - blue) / 8, (red - 2) / 8, (49 - red) / 8]
    return np.prod([np.clip(rise, 0, 1) for rise in rises], 0)[:, None]


def finest_lightness(picture: Array) -> float:
    """RMS of what a Gaussian of one pixel (radius 3) removes from L of OKLab (Ottosson 2020)."""
    linear = np.where(picture <= 0.04045, picture / 12.92, ((np.maximum(picture, 0) + 0.055) / 1.055) ** 2.4)
    cones = np.array([
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ])  # fmt: skip
    roots = np.cbrt(np.einsum("ij,jhw->ihw", cones, linear))
    lightness = np.einsum("i,ihw->hw", np.array([0.2104542553, 0.7936177850, -0.0040720468]), roots)
    kernel = np.exp(-(np.arange(-3.0, 4.0) ** 2) / 2)
    kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
    band = lightness - correlate2d(np.pad(lightness, 3, mode="edge"), kernel, mode="valid")
    return float(np.sqrt(np.mean(band**2)))


def self_similarity(features: Array, target: Array) -> float:
    """Mean over columns of Σ|D/ΣD − Dₜ/ΣDₜ|, where D are the cosine distances among features (n, C)."""
    tables = [np.array([[cosine_distance(a, b) for b in rows] for a in rows]) for rows in (features, target)]
    shares = [table / table.sum(0) for table in tables]
    return float(np.abs(shares[0] - shares[1]).sum(0).mean())


def total_variation(image: Array) -> float:
    """Σ of the squared differences to the right and lower neighbours, over the number of values."""
    total = 0.0
    for plane in image:
        for row in range(plane.shape[0]):
            for column in range(plane.shape[1]):
                if column + 1 < plane.shape[1]:
                    total += (plane[row, column + 1] - plane[row, column]) ** 2
                if row + 1 < plane.shape[0]:
                    total += (plane[row + 1, column] - plane[row, column]) ** 2
    return total / image.size


def pool(features: Array, kind: str) -> Array:
    """2×2 cells: ``max``; ``average``: twice the mean; ``l2``: 0.78 times the root of Σ squares + 1e-12."""
    channels, height, width = features.shape
    pooled = np.empty((channels, height // 2, width // 2))
    for c in range(channels):
        for i in range(height // 2):
            for j in range(width // 2):
                cell = features[c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                pooled[c, i, j] = {
                    "max": cell.max(),
                    "average": 2.0 * cell.mean(),
                    "l2": 0.78 * np.sqrt((cell**2).sum() + 1e-12),
                }[kind]
    return pooled


def encode(
    state: Mapping[str, Array],
    image: Array,
    layers: Sequence[str],
    pooling: str = "average",
    padding: str = "reflect",
) -> dict[str, Array]:
    """Features of a VGG, computed with SciPy's correlation; the input is 2x − 1.

    ``replicate`` padding applies to the picture only; deeper layers are then padded with zeros.
    """
    x, features, block = 2.0 * image - 1.0, dict[str, Array](), "1"
    for conv in (key.removesuffix(".weight") for key in state if key.endswith(".weight")):
        if conv[4] != block:
            x, block = pool(x, pooling), conv[4]
        deeper = "constant" if padding == "replicate" else NUMPY_PADDING[padding]
        mode: Any = NUMPY_PADDING[padding] if conv == "conv1_1" else deeper
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode=mode)
        kernels, biases = state[f"{conv}.weight"], state[f"{conv}.bias"]
        x = np.stack([
            bias + sum(correlate2d(plane, k, mode="valid") for plane, k in zip(padded, kernel, strict=True))
            for kernel, bias in zip(kernels, biases, strict=True)
        ])  # fmt: skip
        features[conv] = x
        x = np.maximum(x, 0.0)
        features[conv.replace("conv", "relu")] = x
    return {layer: features[layer] for layer in layers}
