"""The server's settings: what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from impasto import __version__
from impasto.errors import RecipeError
from impasto.studio.settings import StudioSettings, installed_site, site_folder


@pytest.mark.parametrize(
    "settings",
    [{"host": "0.0.0.0"}, {"host": "192.168.1.4"}, {"host": "::"}, {"public_name": ("studio.example.org",)}],
)
def test_others_are_served_only_with_a_token(settings: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="--token"):
        StudioSettings(**settings).require_safe()
    StudioSettings(**settings, token="a rather long secret").require_safe()
    StudioSettings(**settings, insecure=True).require_safe()
    StudioSettings().require_safe()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": "head:10001"}, r"--workers head:10001: possible are local, ray and ray://HOST:PORT"),
        ({"workers": "auto"}, r"possible are local, ray and ray://HOST:PORT"),
        ({"workers": "ray", "device": ("cuda:0",)}, r"--device is for workers of this machine; leave it out"),
        ({"device": ("cpu", "gpu")}, r"--device gpu: possible are auto, cpu, cuda:0"),
        ({"gpus_per_job": 0.5}, r"--gpus-per-job is for a cluster; add --workers ray"),
        ({"workers": "ray", "gpus_per_job": -1}, r"gpus_per_job"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        StudioSettings(**settings)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"port": 70000}, {"keep_days": 0}, {"nonsense": 1}):
        with pytest.raises(RecipeError):
            StudioSettings(**wrong)


def test_no_message_contains_the_token() -> None:
    with pytest.raises(RecipeError, match="at least 16") as caught:
        StudioSettings(token="hunter2")
    assert "hunter2" not in str(caught.value)


def test_child_processes_do_not_get_the_token() -> None:
    settings = StudioSettings(token="a rather long secret", port=1234).without_token()
    assert "a rather long secret" not in settings.model_dump_json()
    assert settings.port == 1234


def test_a_relative_data_folder_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert StudioSettings(data=Path("data")).job_folder("j") == tmp_path / "data" / "jobs" / "j"


@pytest.mark.skipif(sys.platform != "linux", reason="the folder for data is elsewhere")
def test_the_site_in_the_folder_for_data_is_found_if_its_version_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert installed_site() is None
    assert site_folder() == tmp_path / "impasto" / "web"
    site_folder().mkdir(parents=True)
    for facts, found in (
        ({"version": __version__}, site_folder()),
        ({"version": "0.0"}, None),
        ({}, None),
        ([], None),
    ):
        (site_folder() / "site.json").write_text(json.dumps(facts))
        assert installed_site() == found
    (site_folder() / "site.json").write_text("no JSON")
    assert installed_site() is None
