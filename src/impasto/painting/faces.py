"""Where the content of a painting shows faces, by the embedded encoder."""

from __future__ import annotations

from torch import Tensor

from impasto.feedforward.faces import face_likelihood
from impasto.networks.encoder import Encoder
from impasto.networks.registry import load_encoder
from impasto.recipe import Recipe
from impasto.scene import Scene

__all__ = ["faces_of"]

#: Likelihoods from which on a place counts as a face in part, and in full. Below, it is mostly wood or fur.
PARTLY, FULLY = 0.5, 0.9


def faces_of(scene: Scene, recipe: Recipe, encoder: Encoder) -> Tensor | None:
    """How much each place counts as a face, (1, 1, h, w) in [0, 1]; None: there are none, or nobody asks.

    Args:
        scene: prepared (:func:`~impasto.scene.preparing.preprocess`).
        encoder: that of the painting, by which device and precision are chosen.
    """
    if scene.content is None or not (recipe.keep_details and recipe.wants_finishing):
        return None
    embedded = load_encoder(device=encoder.device, dtype=encoder.compute_dtype)
    likelihood = face_likelihood(scene.content, embedded)
    faces = ((likelihood - PARTLY) / (FULLY - PARTLY)).clamp(0.0, 1.0)
    return faces if bool(faces.any()) else None
