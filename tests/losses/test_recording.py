"""Recorded evaluations and evaluations by several devices are the plain ones, number by number."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fakes import checks, picture, tiny_encoder
from impasto.losses import objective as objectives
from impasto.losses.build import terms_of
from impasto.losses.objective import Objective
from impasto.losses.recording import recorded, recorder_for
from impasto.recipe import Recipe
from impasto.scene import Past, Scene, Style

SIZE = (32, 48)
RECIPE = Recipe(
    style_layers="relu1_1,relu2_1,relu3_1",
    content_layers="relu3_1",
    style_loss=("gram", "nearest"),
    tv_weight=0.1,
    keep_details=0.5,
)


def judged(recipe: Recipe = RECIPE, *, finishing: bool = False, **options) -> Objective:  # type: ignore[no-untyped-def]
    scene = Scene(
        picture(*SIZE),
        (Style(checks(32, 32)),),
        past=(Past(picture(*SIZE, seed=5), torch.ones(1, 1, *SIZE), 0.7),),
    )
    scene = scene.at(SIZE, 0, torch.device("cpu"))
    return Objective(tiny_encoder(), scene, terms_of(recipe, finishing=finishing), **options)


class InTheSameMemory:
    """Repeats work in the memory of its first results, as a CUDA graph does; ``error`` is added to them."""

    def __init__(self, error: float = 0.0) -> None:
        self.error, self.repetitions, self.recordings = error, 0, 0

    def __call__(
        self, work: Callable[[], tuple[Tensor, ...]]
    ) -> tuple[tuple[Tensor, ...], Callable[[], object]]:
        self.recordings += 1
        results = tuple(result + self.error for result in work())

        def repeat() -> None:
            self.repetitions += 1
            for result, new in zip(results, work(), strict=True):
                result.copy_(new)

        return results, repeat


def same(a: tuple[float, Tensor, dict[str, float]], b: tuple[float, Tensor, dict[str, float]]) -> bool:
    return a[0] == b[0] and torch.equal(a[1], b[1]) and a[2] == b[2]


def test_a_recorded_evaluation_is_the_plain_one_and_keeps_earlier_gradients():
    recorder, plain = InTheSameMemory(), judged()
    repeated = judged(recorder=recorder)
    canvases = [picture(*SIZE, seed=seed) for seed in range(1, 6)]
    results = [repeated.evaluate(canvas) for canvas in canvases]
    assert (recorder.recordings, recorder.repetitions) == (1, 4)
    assert all(same(result, plain.evaluate(canvas)) for result, canvas in zip(results, canvases, strict=True))


@pytest.mark.parametrize("options", [{"finishing": True}, {"recipe": RECIPE.replace(style_loss="sliced")}])
def test_what_changes_between_evaluations_is_not_recorded(options):
    recorder, plain = InTheSameMemory(), judged(**options)
    repeated = judged(recorder=recorder, **options)
    for seed in (1, 2, 3):
        assert same(repeated.evaluate(picture(*SIZE, seed=seed)), plain.evaluate(picture(*SIZE, seed=seed)))
    assert recorder.recordings == 0


def refuse(work: object) -> object:
    raise RuntimeError("operation not permitted when stream is capturing\nand more")


@pytest.mark.parametrize(
    ("recorder", "reason"),
    [(refuse, "not permitted when stream is capturing$"), (InTheSameMemory(0.1), "differs")],
)
def test_a_recording_that_fails_or_differs_is_left_alone(recorder, reason):
    plain, repeated = judged(), judged(recorder=recorder)
    plain.evaluate(picture(*SIZE)), repeated.evaluate(picture(*SIZE))
    canvas = picture(*SIZE, seed=1)
    with pytest.warns(UserWarning, match=f"not recorded on cpu, and slower: .*{reason}"):
        result = repeated.evaluate(canvas)
    assert same(result, plain.evaluate(canvas))
    with warnings.catch_warnings():  # once is enough
        warnings.simplefilter("error")
        assert same(repeated.evaluate(canvas), plain.evaluate(canvas))


def test_a_picture_that_is_not_finite_does_not_stop_a_recording():
    again = recorded(lambda x: (x * torch.inf,), picture(4, 4), InTheSameMemory())
    assert bool(again(torch.ones(1, 3, 4, 4))[0].isinf().all())


class FromTheProcessor(TorchFunctionMode):
    """Sees what a CUDA graph cannot hold: numbers that are read, and tensors made of Python's numbers."""

    FORBIDDEN = (
        Tensor.tolist, Tensor.item, Tensor.cpu, Tensor.__float__, Tensor.__bool__, Tensor.nonzero,
        Tensor.new_tensor, torch.tensor, torch.as_tensor,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.seen += [func] if func in self.FORBIDDEN else []
        return func(*args, **(kwargs or {}))


def test_recordable_terms_neither_read_nor_bring_numbers():
    evaluated, canvas = judged(), picture(*SIZE, seed=1)
    assert all(prepared.term.recordable for prepared in evaluated._terms)
    evaluated.evaluate(canvas)
    with FromTheProcessor() as mode:
        float(canvas.new_tensor(1.0) + torch.tensor(1.0))
    assert mode.seen == [Tensor.new_tensor, torch.tensor, Tensor.__float__]
    with FromTheProcessor() as mode:
        evaluated._numbers(canvas)
    assert not mode.seen


def test_a_gpu_has_a_recorder_and_the_processor_none():
    assert recorder_for(torch.device("cpu")) is None
    assert recorder_for(torch.device("cuda", 1)) is not None


@pytest.mark.parametrize("finishing", [False, True])
def test_tiles_of_several_devices_give_the_same_numbers(finishing, monkeypatch):
    copied = []
    monkeypatch.setattr(objectives, "_CopiedTo", lambda device: copied.append(device) or COPIED(device))
    one = judged(finishing=finishing, tile=16)
    two = judged(finishing=finishing, tile=16, beside=[torch.device("cpu")] * 2)
    for seed in (1, 2):  # the second with what the terms have learnt from the first, on each device
        canvas = picture(*SIZE, seed=seed)
        assert same(one.evaluate(canvas), two.evaluate(canvas))
    assert copied == [torch.device("cpu")] * 2
    assert two._copies[0].encoder.encoder is not two.encoder.encoder
    shared = {x.data_ptr() for x in two.encoder.encoder.buffers()}
    assert not shared & {x.data_ptr() for x in two._copies[0].encoder.encoder.buffers()}


COPIED = objectives._CopiedTo


def test_a_copy_is_on_the_device_that_is_asked_for():
    copy = judged(tile=16)._on(torch.device("meta"))
    assert copy.encoder.device.type == "meta"
    assert {x.device.type for p in copy._terms for x in tensors(p.memory)} == {"meta"}


def tensors(thing: object) -> list[Tensor]:
    """All tensors in dataclasses, mappings and sequences."""
    if isinstance(thing, Tensor):
        return [thing]
    inside = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (tuple, list)) else ()
    return [t for x in (*inside, *getattr(thing, "__dict__", {}).values()) for t in tensors(x)]
