"""``impasto doctor`` says what is here, and ``impasto weights`` where the weights are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from impasto.cli import doctor


@pytest.mark.slow
def test_it_says_what_is_here_and_paints(impasto, folder):
    code, out, err = impasto("doctor")
    assert (code, err) == (0, "")
    lines = {line[:16].strip(): line[16:] for line in out.splitlines()}
    assert {"python", "torch", "device", "threads", "fast bfloat16"} <= set(lines)
    assert "free of" in lines["memory"]
    for extra in ("video", "studio", "https", "traces", "studies", "masks", "heic", "export"):
        assert lines[f"extra {extra}"] == "installed"
    assert lines["face detector"].endswith(f"zoo to {folder / 'home'}")
    assert "a second, loss" in lines["self-test"]
    assert not (folder / "home").exists()


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch):
    find = importlib.util.find_spec
    absent = ("av", "pillow_heif")

    def find_spec(name):
        if name.startswith("opentelemetry."):
            raise ModuleNotFoundError("opentelemetry")  # as where the package around it is missing
        return None if name in absent else find(name)

    monkeypatch.setattr(doctor, "find_spec", find_spec)
    lines = dict(doctor.installed_extras())
    assert lines["extra traces"] == "missing: pip install 'impasto[traces]'"
    assert lines["extra video"] == "missing: pip install 'impasto[video]'"
    assert lines["extra masks"] == "installed"
    assert lines["extra heic"] == "missing: pip install 'impasto[heic]'"


def test_the_face_detector_that_is_here(folder, monkeypatch):
    Path("home").mkdir()
    model = Path("home/face_detection_yunet_2023mar.onnx").resolve()
    model.touch()
    assert dict(doctor.weights_here())["face detector"] == str(model)
