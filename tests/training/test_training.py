"""Distillation: closed-form start, folded losses, on-policy canvases, checkpoints, the exported file."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fakes import tiny_state
from impasto import pictures
from impasto.errors import WeightsError
from impasto.networks.encoder import CENTRED, Encoder
from impasto.networks.layers import CONVS
from impasto.training.__main__ import main
from impasto.training.data import Crops
from impasto.training.distil import Plan, Trainer
from impasto.training.policy import Canvases, folded_gram_distance, grams, inner
from impasto.training.report import TeacherEncoder, judge
from impasto.training.reshaping import widened, without_silent
from impasto.training.student import WIDTHS, Student, export, fit_to_teacher
from impasto.training.teacher import STYLE_TARGETS, TARGETS, Teacher

#: As wide as the tiny teacher everywhere: then a perfect student exists.
FULL = {name: (4, 5, 6, 7, 8)[int(name[4]) - 1] for name in WIDTHS}
NARROW = {name: max(2, width - 3) for name, width in FULL.items()}
PLAN = Plan(crops=2, canvases=2, buffer=3, size=32, start=24, lr=1e-3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos and paintings: smooth random pictures, 24 each."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for kind, cells in (("photos", 5), ("paintings", 12)):
        (root / kind).mkdir()
        for i in range(24):
            coarse = torch.from_numpy(rng.random((1, 3, cells, cells), dtype=np.float32))
            picture = torch.nn.functional.interpolate(coarse, (64, 72), mode="bicubic").clamp(0, 1)
            pictures.save(root / kind / f"{kind}-{i}.png", picture)
    return root


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher(tiny_state(), normalisation=CENTRED)


def test_a_composite_teacher_takes_its_upper_levels_from_the_compressed_network() -> None:
    state = tiny_state()
    lower = {key: value for key, value in state.items() if key[4] in "123"}
    upper = {f"head{level}_1.weight": torch.randn(9, 2 + level, 1, 1) for level in range(1, 6)}
    upper |= {f"head{level}_1.bias": torch.zeros(9) for level in range(1, 6)}
    upper |= {"preprocess.weight": torch.eye(3)[:, :, None, None], "preprocess.bias": torch.zeros(3)}
    before = 3
    for conv in CONVS[: CONVS.index("conv5_1") + 1]:
        width = 2 + int(conv[4])
        upper |= {f"{conv}.weight": torch.randn(width, before, 3, 3), f"{conv}.bias": torch.randn(width)}
        before = width
    found = Teacher(lower, upper, CENTRED).raw(torch.rand(2, 3, 32, 48))
    assert tuple(found) == TARGETS
    assert {name: tuple(value.shape[1:]) for name, value in found.items()} == {
        "relu1_1": (4, 32, 48), "relu2_1": (5, 16, 24), "relu2_2": (5, 16, 24), "relu3_1": (6, 8, 12),
        "relu3_2": (6, 8, 12), "relu4_1": (9, 4, 6), "relu4_2": (6, 4, 6), "relu5_1": (9, 2, 3),
    }  # fmt: skip
    with pytest.raises(WeightsError, match="give a complete VGG-19"):
        Teacher(lower)


def _trainer(folders: Path, teacher: Teacher, **kwargs: object) -> Trainer:
    photos, paintings = Crops(folders / "photos"), Crops(folders / "paintings")
    held = photos.draw(4, 48, np.random.default_rng(5))
    return Trainer(copy.deepcopy(teacher), photos, paintings, held, PLAN, NARROW, **kwargs)  # type: ignore[arg-type]


def test_held_out_pictures_are_never_trained_on(folders: Path) -> None:
    train, held = Crops(folders / "photos"), Crops(folders / "photos", held_out=True)
    assert len(train.pictures) + len(held.pictures) == 24
    assert 0 < len(held.pictures) < 8
    assert not any(torch.equal(a, b) for a in train.pictures for b in held.pictures)
    crops = train.draw(5, 32, np.random.default_rng(1))
    assert crops.shape == (5, 3, 32, 32)
    assert float(crops.min()) >= 0
    assert float(crops.max()) <= 1
    assert float(crops.std()) > 0.05


def test_a_student_as_wide_as_its_teacher_starts_perfect(folders: Path, teacher: Teacher) -> None:
    """The closed-form start is a least-squares fit: with room for everything it loses next to nothing."""
    taught = copy.deepcopy(teacher)
    taught.lower.pooling = "average"
    crops = Crops(folders / "photos").draw(24, 32, np.random.default_rng(2))
    explained = fit_to_teacher(Student(taught.channels, FULL, "average"), taught, crops)
    assert min(explained.values()) > 0.97, explained
    narrow = fit_to_teacher(Student(taught.channels, NARROW, "average"), taught, crops)
    assert narrow["relu5_1"] < explained["relu5_1"]


def test_silent_channels_of_the_teacher_are_not_amplified(folders: Path, teacher: Teacher) -> None:
    """Half of a layer that never fires: the student's filters there are ordinary ones, and none is silent."""
    taught = copy.deepcopy(teacher)
    taught.lower.get_buffer("conv2_1__bias")[::2] = -1e3
    crops = Crops(folders / "photos").draw(24, 32, np.random.default_rng(2))
    student = Student(taught.channels, FULL, "average")
    fit_to_teacher(student, taught, crops)
    norms = student.convs["conv2_1"].weight.detach().flatten(1).norm(dim=1)
    assert float(norms.max()) < 20 * float(norms.median())
    power = student.features(crops)["relu2_1"].detach().square().mean((0, 2, 3))
    assert float(power.min()) > 0.01 * float(power.median())


def test_folded_distances_are_those_of_the_wide_matrices() -> None:
    g = torch.Generator().manual_seed(0)
    w = torch.randn(40, 7, generator=g, dtype=torch.float64)
    a, b = (torch.randn(3, 7, 5, 6, generator=g, dtype=torch.float64) for _ in range(2))
    wide = [np.einsum("ij,njhw->nihw", w.numpy(), x.numpy()).reshape(3, 40, -1) for x in (a, b)]
    expected = [
        np.sum((x @ x.T / x.shape[1] - y @ y.T / y.shape[1]) ** 2) for x, y in zip(*wide, strict=True)
    ]
    found = folded_gram_distance(w.T @ w, (inner(a, a) - inner(b, b)).double())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


def test_the_loss_is_that_of_the_wide_features(folders: Path, teacher: Teacher) -> None:
    """`_distance` never forms a wide map; a plain computation that does must agree."""
    trainer = _trainer(folders, teacher)
    batch = trainer._crops(4)
    trainer.plan = Plan(**{**PLAN.__dict__, "size": 1000})  # no thinning at these sizes
    own, targets = trainer.student.features(batch), trainer.teacher.raw(batch)
    total, _ = trainer._distance(own, targets)
    expected = 0.0
    for layer in TARGETS:
        t = targets[layer] / trainer.teacher.rms[layer]
        f = trainer.student.heads[layer](own[layer]).detach()
        energy = t.square().mean((2, 3)).sum(1)
        error = (f - t).square().mean((2, 3)).sum(1)
        expected += float((error / (energy + 0.1 * energy.mean())).mean()) / len(TARGETS)
        if layer in STYLE_TARGETS:
            x, y = (z.flatten(2) @ z.flatten(2).transpose(1, 2) / z[0, 0].numel() for z in (f, t))
            size = y.square().sum((1, 2))
            distance = (x - y).square().sum((1, 2))
            expected += float((distance / (size + 0.1 * size.mean())).mean()) / len(STYLE_TARGETS)
    assert float(total.detach()) == pytest.approx(expected, rel=1e-3)


def test_canvases_come_closer_to_what_they_are_painted_for(folders: Path, teacher: Teacher) -> None:
    trainer = _trainer(folders, teacher)
    canvases = Canvases(trainer.photos, trainer.paintings, 3, 32, seed=3)
    for slot in canvases.slots:
        slot.left = 1000

    def loss() -> tuple[float, torch.Tensor]:
        images_ = canvases.images.clone().requires_grad_(True)
        value = canvases.loss(trainer.student, trainer.student.features(images_), [0, 1, 2])
        (gradient,) = torch.autograd.grad(value, images_)
        return float(value.detach()), gradient

    before, gradient = loss()
    for _ in range(25):
        canvases.step([0, 1, 2], gradient)
        after, gradient = loss()
    assert after < 0.7 * before
    canvases.slots[1].left = 1
    old = canvases.images[1].clone()
    canvases.step([1], gradient[1:2])
    assert float((canvases.images[1] - old).abs().mean()) > 0.02, "a finished canvas is replaced"


def _explained(student: Student, teacher: Teacher, crops: torch.Tensor, layer: str) -> float:
    with torch.no_grad():
        target = teacher(crops, (layer,))[layer]
        error = (student.heads[layer](student.features(crops)[layer]) - target).square().sum()
    return 1.0 - float(error / (target - target.mean((0, 2, 3), keepdim=True)).square().sum())


def test_silent_channels_can_be_cut_out(folders: Path, teacher: Teacher) -> None:
    """One that never fires and one of enormous filters go; what the heads say stays as it was."""
    trainer = _trainer(folders, teacher)
    student, crops = trainer.student, trainer._crops(16)
    conv = student.convs["conv4_1"]
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight[0], conv.bias[0] = 0.0, -1.0
        conv.weight[1], conv.bias[1] = 1e4, -1e9
    before = {t: student.heads[t](x) for t, x in student.features(crops).items() if t in student.heads}
    found = without_silent(student, crops)
    assert len(found.convs["conv4_1"].weight) == len(conv.weight) - 2
    assert len(found.convs["conv1_1"].weight) == len(student.convs["conv1_1"].weight)
    for t, x in found.features(crops).items():
        if t in before:
            assert torch.allclose(found.heads[t](x), before[t], atol=1e-4), t


def test_channels_can_be_added_where_they_explain_most(folders: Path, teacher: Teacher) -> None:
    trainer = _trainer(folders, teacher)
    crops = trainer._crops(24)
    found = widened(trainer.student, trainer.teacher, crops, "conv1_1", 2)
    assert len(found.convs["conv1_1"].weight) == NARROW["conv1_1"] + 2
    gain = _explained(found, trainer.teacher, crops, "relu1_1") - _explained(
        trainer.student, trainer.teacher, crops, "relu1_1"
    )
    assert gain > 0.02
    for layer in ("relu2_1", "relu3_2", "relu5_1"):  # nobody listens to the new ones yet
        was, now = (_explained(one, trainer.teacher, crops, layer) for one in (trainer.student, found))
        assert now == pytest.approx(was, abs=1e-4)


def test_a_reshaped_student_is_trained_on_and_resumed(
    folders: Path, teacher: Teacher, tmp_path: Path
) -> None:
    trainer = _trainer(folders, teacher)
    trainer.reshape({"conv2_1": 3})
    trainer.step(1e-3)
    trainer.save(tmp_path)
    again = _trainer(folders, teacher, fit=False)
    again.resume(tmp_path)
    assert len(again.student.convs["conv2_1"].weight) == len(trainer.student.convs["conv2_1"].weight)
    assert again.explained() == pytest.approx(trainer.explained())
    again.step(1e-3)


def test_training_lowers_the_loss_and_resumes(folders: Path, teacher: Teacher, tmp_path: Path) -> None:
    trainer = _trainer(folders, teacher, fit=False)  # a random start: the closed-form one is near its best
    trainer.teacher.calibrate(trainer._crops(8))
    records = [trainer.step(1e-2)["loss"] for _ in range(60)]
    assert np.mean(records[-8:]) < 0.9 * np.mean(records[:8])
    trainer.save(tmp_path)
    again = _trainer(folders, teacher, fit=False)
    again.resume(tmp_path)
    assert again.steps == 60
    assert again.teacher.rms == trainer.teacher.rms
    for key, value in trainer.student.state_dict().items():
        assert torch.equal(value, again.student.state_dict()[key])
    assert again.explained() == pytest.approx(trainer.explained())
    assert not list(tmp_path.glob("*.partial"))


def test_the_exported_encoder_is_the_student(folders: Path, teacher: Teacher, tmp_path: Path) -> None:
    """Distances between exported features are those between the student's in the teacher's space."""
    trainer = _trainer(folders, teacher)
    trainer.save(tmp_path)
    state = load_file(tmp_path / "compact.safetensors")
    assert all(value.dtype is torch.float16 for value in state.values())
    exact = {k: v.double() for k, v in export(trainer.student).items()}
    encoder = Encoder(exact, CENTRED, pooling="average")
    encoder.compute_in(torch.float64)
    crops = trainer._crops(2)
    student = trainer.student.features(crops)
    found = encoder(crops.double(), TARGETS)
    for layer in TARGETS:
        wide = trainer.student.heads[layer](student[layer]).double()
        expected = (wide[0] - wide[1]).square().sum()
        assert float((found[layer][0] - found[layer][1]).square().sum()) == pytest.approx(
            float(expected.detach()), rel=0.02
        )
        assert found[layer].shape[1] <= student[layer].shape[1]


def test_judge_knows_the_two_ends(folders: Path, teacher: Teacher) -> None:
    content = Crops(folders / "photos").draw(1, 48, np.random.default_rng(3))
    style = Crops(folders / "paintings").draw(1, 48, np.random.default_rng(4))
    untouched, exact = judge(teacher, content, content, style), judge(teacher, style, content, style)
    assert untouched.mean == pytest.approx(1.0)
    assert untouched.content == 0.0
    assert exact.mean == pytest.approx(0.0, abs=1e-9)
    assert exact.content > 0.01
    encoder = TeacherEncoder(teacher, tiny_state())
    assert encoder.layers == TARGETS
    a = grams({k: v.float() for k, v in encoder(content, STYLE_TARGETS).items()})
    assert set(a) == set(STYLE_TARGETS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--teacher", "no.pth", "--data", "d", "--out", "o", "--budget", "-1"], "budget"),
        (["--teacher", "no.pth", "--data", "d", "--out", "missing/o"], "folder"),
        (["--teacher", "no.pth", "--data", "d", "--out", "o", "--widen.conv9_1", "3"], "conv9_1"),
        (["--teacher", "no.pth", "--data", "d", "--out", "o"], "no.pth"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    lines = capsys.readouterr().err.strip().splitlines()
    assert (exit_.value.code, len(lines)) == (2, 1)
    assert said in lines[0]
