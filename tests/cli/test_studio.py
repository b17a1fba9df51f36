"""``impasto studio``: what stops it from starting, and what it has done when it answers."""

from __future__ import annotations

import gc
import socket
import sys
from pathlib import Path

import pytest

from impasto.cli.main import main
from impasto.cli.studio import _address, _as_seen
from impasto.studio.settings import StudioSettings


def test_proxies_are_trusted_in_either_form_of_their_addresses() -> None:
    given = ("127.0.0.1", "10.0.0.0/8", "::1", "proxy", "*")
    assert _as_seen(given) == [*given, "::ffff:127.0.0.1/128", "::ffff:10.0.0.0/104"]
    assert _as_seen(("*",)) == ["*"]


def test_the_address_of_a_given_certificate_is_a_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        options = StudioSettings(host="192.0.2.7", public_name=("studio.example.org",))
        assert _address(listener, options) == f"http://192.0.2.7:{port}/"
        given = options.model_copy(update={"certificate": Path("fullchain.pem")})
        assert _address(listener, given) == f"https://studio.example.org:{port}/"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--host", "0.0.0.0"], "--token"),
        (["--public-name", "studio.example.org"], "--token"),
        (["--token", "hunter2"], "at least 16"),
        (["--port", "70000"], "port"),
        (["--certificate", "none.pem"], "none.pem' cannot be read"),
        (["--web", "docs"], "make web"),
        (["--key", "key.pem"], "--key needs --certificate"),
        (["--traces", "collector:4318"], "http or https"),
        (["--host", "256.1.1.1", "--insecure"], "nothing can listen"),
    ],
)
def test_a_server_that_must_not_start_reports_one_line(
    flags: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["studio", "--no-open", "--data", str(tmp_path / "data"), *flags])
    output = capsys.readouterr()
    assert ended.value.code == 2
    assert (output.out, output.err.count("\n")) == ("", 1)
    assert word in output.err
    assert "hunter2" not in output.err
    assert not (tmp_path / "data").exists()


def test_traces_without_their_extra_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SystemExit) as ended:
        main(["studio", "--data", str(tmp_path / "data"), "--traces", "http://127.0.0.1:4318"])
    output = capsys.readouterr()
    assert (ended.value.code, output.out, output.err.count("\n")) == (2, "", 1)
    assert "OpenTelemetry's SDK" in output.err
    assert "impasto[traces]" in output.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("unusable", ["data", "data/jobs", "data/studio.db"])
def test_a_data_folder_that_cannot_be_used_is_reported_in_one_line(
    unusable: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / unusable
    path.parent.mkdir(exist_ok=True)
    if path.name == "studio.db":
        path.mkdir()
    else:
        path.write_text("a file")
    with pytest.raises(SystemExit) as ended:
        main(["studio", "--port", "0", "--data", str(tmp_path / "data")])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "cannot be used" in error
    assert error.count("\n") == 1


def test_an_installed_site_is_served_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from impasto.cli import studio
    from impasto.studio.settings import StudioSettings

    monkeypatch.setattr(studio, "installed_site", lambda: tmp_path)
    other = StudioSettings(web=tmp_path / "other")
    assert studio._with_installed_site(StudioSettings()).web == tmp_path
    assert studio._with_installed_site(other).web == tmp_path / "other"


def test_collections_pass_over_what_stays_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn
    from fastapi import FastAPI

    from impasto.cli import studio
    from impasto.studio.settings import StudioSettings

    frozen: list[int] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: frozen.append(gc.get_freeze_count()))
    interval = sys.getswitchinterval()
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            studio._serve(FastAPI(), StudioSettings(data=tmp_path), listener, None)
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval)
    assert frozen[0] > 50_000
