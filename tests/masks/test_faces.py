"""Faces as a soft mask, with a detector that finds what the test tells it, and what happens without one."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fakes import picture
from impasto import pictures
from impasto.cli.mask import mask as mask_command
from impasto.errors import ImpastoError, PictureError, RecipeError, WeightsError
from impasto.masks import faces

cv2 = pytest.importorskip("cv2")


class Detector:
    """Finds the faces that it was told, scaled to a picture half as large."""

    def __init__(self, *faces: tuple[float, float, float, float, float]) -> None:
        self.faces = faces

    def create(self, model: str, config: str, size: tuple[int, int], min_score: float) -> Detector:
        self.model, self.size = model, size
        return self

    def detect(self, bgr: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert bgr.dtype == np.uint8
        assert bgr.shape[1::-1] == self.size
        rows = [[*(v / 2 for v in box), *[0.0] * 10, score] for *box, score in self.faces]
        return 1, np.array(rows, np.float32) if rows else None


@pytest.fixture
def detector(monkeypatch):
    """Puts a detector in the place of OpenCV's, which sees the test's picture half as large."""

    def put(*boxes: tuple[float, float, float, float, float]) -> Detector:
        fake = Detector(*boxes)
        monkeypatch.setattr(cv2, "FaceDetectorYN", SimpleNamespace(create=fake.create), raising=False)
        monkeypatch.setattr(faces, "LONGEST", 80)
        return fake

    return put


def test_faces_are_found_where_they_are_the_highest_score_first(detector, tmp_path):
    detector((10, 20, 30, 40, 0.91), (100, 12, 20, 24, 0.99))
    boxes = faces.find_faces(picture(120, 160), tmp_path / "model.onnx")
    assert boxes == [pytest.approx((100, 12, 20, 24)), pytest.approx((10, 20, 30, 40))]


def test_an_ellipse_lies_around_each_face_and_fades():
    mask = faces.face_mask((120, 160), [(60.0, 40.0, 30.0, 40.0)])
    assert mask.shape == (1, 1, 120, 160)
    plane = mask[0, 0]
    assert float(plane[60, 75]) == 1.0
    assert float(plane[60, 75 + 18]) == 1.0  # 1.25 times half the width
    assert 0.0 < float(plane[60, 75 + 22]) < 1.0
    assert float(plane[60, 75 + 28]) == 0.0
    assert float(plane[60 - 24, 75]) == 1.0
    torch.testing.assert_close(plane[:, 15:135], plane[:, 15:135].flip(1), atol=1e-5, rtol=0)
    both = faces.face_mask((120, 160), [(60.0, 40.0, 30.0, 40.0), (0.0, 0.0, 20.0, 20.0)])
    assert bool((both >= mask).all())
    assert float(both[0, 0, 10, 10]) == 1.0


def test_the_command_writes_a_mask(detector, tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_HOME", str(tmp_path))
    fake = detector((60, 40, 30, 40, 0.95))
    for year in ("2022", "2023"):
        (tmp_path / f"face_detection_yunet_{year}mar.onnx").write_bytes(b"")
    photo, output = pictures.save(tmp_path / "photo.png", picture(120, 160)), tmp_path / "mask.png"
    assert mask_command(photo, output=output, faces=True, quiet=True) == 0
    assert "yunet_2023mar" in fake.model
    faces_only = pictures.load(output).pixels
    assert mask_command(photo, output=output, faces=True, invert=True, quiet=True) == 0
    torch.testing.assert_close(pictures.load(output).pixels, 1 - faces_only, atol=1e-2, rtol=0)
    model, box = tmp_path / "x", [1, 2, 30, 40]
    for wrong in ({}, {"faces": True, "box": box}, {"box": box, "model": model}):
        with pytest.raises(RecipeError, match="--faces"):
            mask_command(photo, output=output, **wrong)
    with pytest.raises(ImpastoError, match=r"no file .*x'"):
        mask_command(photo, output=output, faces=True, model=model)


def test_what_goes_wrong_is_said_in_a_line(detector, tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"no face detector: none in .*opencv_zoo.*--model FILE"):
        faces.model_file()
    with pytest.raises(WeightsError, match=r"no\.onnx' is no file"):
        faces.model_file(tmp_path / "no.onnx")
    broken = tmp_path / "face_detection_yunet.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match="is not a face detector that OpenCV can run") as caught:
        faces.find_faces(picture(48, 64), faces.model_file())
    assert "\n" not in str(caught.value)
    detector()
    assert faces.find_faces(picture(48, 64), broken) == []
    with pytest.raises(PictureError, match="no face was found"):
        faces.face_mask((48, 64), [])


def test_without_opencv(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImpastoError, match=r"needs OpenCV, .*impasto\[masks\]"):
        faces.find_faces(picture(48, 64), tmp_path / "model.onnx")
