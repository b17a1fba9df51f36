"""Faces as a soft mask: geometry with a detector told what to find, and what goes wrong without one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fakes import picture
from impasto import pictures
from impasto.cli import main
from impasto.errors import ImpastoError, PictureError, WeightsError
from impasto.masks import faces

cv2 = pytest.importorskip("cv2")


class Detector:
    """Finds, in the picture that it is shown, the faces of a picture twice as large."""

    def __init__(self, *found: tuple[float, float, float, float, float]) -> None:
        self.found, self.seen = found, []

    def create(self, model: str, config: str, size: tuple[int, int], sure: float) -> Detector:
        self.asked = (model, config, size, sure)
        return self

    def detect(self, bgr: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert bgr.dtype == np.uint8
        assert bgr.shape[1::-1] == self.asked[2]
        rows = [[*(v / 2 for v in one[:4]), *[0.0] * 10, one[4]] for one in self.found]
        return 1, np.array(rows, np.float32) if rows else None


@pytest.fixture
def detector(monkeypatch):
    """Puts a detector in OpenCV's place; the picture is looked at half as large."""

    def put(*found: tuple[float, float, float, float, float]) -> Detector:
        fake = Detector(*found)
        monkeypatch.setattr(cv2, "FaceDetectorYN", SimpleNamespace(create=fake.create), raising=False)
        monkeypatch.setattr(faces, "LONGEST", 80)
        return fake

    return put


def test_faces_are_found_where_they_are_the_surest_first(detector, tmp_path):
    detector((10, 20, 30, 40, 0.91), (100, 12, 20, 24, 0.99))
    found = faces.find_faces(picture(120, 160), tmp_path / "model.onnx")
    assert found == [pytest.approx((100, 12, 20, 24)), pytest.approx((10, 20, 30, 40))]


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


def test_the_command_writes_a_mask(detector, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("IMPASTO_HOME", str(tmp_path))
    fake = detector((60, 40, 30, 40, 0.95))
    for year in ("2022", "2023"):
        (tmp_path / f"face_detection_yunet_{year}mar.onnx").write_bytes(b"")
    pictures.save(tmp_path / "photo.png", picture(120, 160))

    def run(*more: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main.main(["mask", str(tmp_path / "photo.png"), "-o", str(tmp_path / "mask.png"), *more])
        return ended.value.code

    assert run("--faces") == 0
    assert "yunet_2023mar" in fake.asked[0]
    straight = pictures.load(tmp_path / "mask.png").pixels
    assert run("--faces", "--invert") == 0
    torch.testing.assert_close(pictures.load(tmp_path / "mask.png").pixels, 1 - straight, atol=1e-2, rtol=0)
    capsys.readouterr()
    for wrong in (
        (),
        ("--faces", "--box", "1,2,30,40"),
        ("--box", "1,2,30,40", "--model", "x"),
        ("--faces", "--model", "x"),
    ):
        assert run(*wrong) == 2
        assert capsys.readouterr().err.count("\n") == 1


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
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(ImpastoError, match=r"impasto\[video\]"):
        faces.find_faces(picture(48, 64), tmp_path / "model.onnx")
