"""docs/api.md and docs/server.md are true: their commands run, their settings exist."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT
from impasto.studio.settings import StudioSettings
from serving import TINY, Studio, clip_bytes, encoded

API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SERVER = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
SECRET = "secret of the docs"


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of curl as a shell runs them, and the Python one; small, and against a studio with a token."""
    monkeypatch.setenv("IMPASTO_STUDIO_TOKEN", SECRET)
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(encoded())
    Path("painting.jpg").write_bytes(encoded(seed=5))
    Path("clip.mp4").write_bytes(clip_bytes(tmp_path, count=2))
    for name in ("first.png", "second.png"):
        Path(name).write_bytes(encoded("PNG", (96, 64)))
    (command,) = re.findall(r"^impasto studio --data \S+ (.*)", SERVER, re.M)
    with Studio(tmp_path / "data", *command.split(), "--result-side", "1024") as studio:
        assert studio.http.get("/v1/styles").status_code == 401
        (code,) = re.findall(r"```python\n(.*?)```", API, re.S)
        code = code.replace('"http://127.0.0.1:7860"', f'"{studio.url}", token="{SECRET}"')
        code = code.replace("size=800", "**TINY").replace('preset="draft"', 'preset="draft", **TINY')
        exec(compile(code, "api.md", "exec"), {"TINY": TINY})
        assert Path("out.png").stat().st_size > 1000
        assert Path("weaker.jpg").stat().st_size > 500
        if shutil.which("curl"):
            _curl(studio)


def _curl(studio: Studio) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", API, re.S)
    script = script.replace("http://127.0.0.1:7860", studio.url)
    script = script.replace('"size": 800', json.dumps(TINY)[1:-1])
    script = script.replace("curl -s", f'curl -s --fail-with-body -H "Authorization: Bearer {SECRET}" -s')
    tiny = f"-F 'recipe={json.dumps(TINY)}'"
    script = script.replace("-F style_id=wave", f"-F style_id=wave {tiny}")
    script = script.replace("-F style_id=swirl", f"-F style=@painting.jpg {tiny}")
    script = script.replace("-F key_frame=0", f"{tiny} -F key_frame=0").replace("key_frame=24", "key_frame=1")
    asking, rest = script.split("# the answer has an id\n")
    answer = _shell(asking)
    job = re.findall(r'"id":"([\w-]{22})"', answer)[-1]
    environment = {**os.environ, "ID": job}
    said = _shell(rest, environment)
    assert said.count("event: job") >= 1
    assert Path("out.png").read_bytes()[:4] == b"\x89PNG"
    assert Path("weaker.jpg").read_bytes()[:2] == b"\xff\xd8"


def _shell(script: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_limits_are_those_of_the_settings() -> None:
    flags = set(re.findall(r"`--([a-z-]+)`", SERVER))
    known = {name.replace("_", "-") for name in StudioSettings.model_fields} | {"verbose", "no-open"}
    known |= {"state", "failed", "older-than", "person"}  # of `impasto studio jobs`
    known |= {"address", "daily-jobs", "daily-seconds", "bytes", "days", "adopt"}  # of `impasto studio users`
    assert flags <= known
    table = [line.split("|")[1:3] for line in SERVER.splitlines() if line.startswith("| `--")]
    defaults = StudioSettings()
    said = {"upload-bytes": 256e6, "pixels": 64e6, "seconds": 60, "frames": 1800, "frame-pixels": 9e6,
            "result-side": 4096, "decode-bytes": 4e9, "decode-seconds": 60, "queue": 200, "client-jobs": 20,
            "accept-seconds": 2.5, "instant-minute": 240,
            "client-hourly": 600, "client-views": 8, "client-streams": 50, "worker-jobs": 200,
            "free-bytes": 2e8,
            "job-seconds": 6 * 3600, "stall-seconds": 3600, "attempts": 3, "keep-days": 7,
            "keep-bytes": 20e9}  # fmt: skip
    assert {flag for row in table for flag in re.findall(r"--([a-z-]+)", row[0])} == set(said)
    for flag, value in said.items():
        assert getattr(defaults, flag.replace("-", "_")) == value, flag


def test_the_service_files_start_what_there_is() -> None:
    unit = (ROOT / "deploy" / "impasto-studio.service").read_text(encoding="utf-8")
    compose = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    docker = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    known = {name.replace("_", "-") for name in StudioSettings.model_fields} | {"verbose"}
    entry = next(line for line in docker.splitlines() if line.startswith("ENTRYPOINT"))
    command = next(line for line in compose.splitlines() if "command: [" in line)
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart"))
    for line in (entry, command, start):
        assert set(re.findall(r"--([a-z-]+)", line)) <= known
    for path in re.findall(r"^COPY (?!--from)(.*) \S+$", docker, re.M):
        assert all((ROOT / one).exists() for one in path.split())


def test_compose_reads_its_file() -> None:
    """As Docker's own reader judges it; what the image does is tried by deploy/check_image.py."""
    reader = shutil.which("docker-compose")
    if reader is None:
        pytest.skip("no docker-compose here")
    variables = {"STUDIO_NAME": "studio.example.org", "IMPASTO_STUDIO_TOKEN": "a rather long secret"}
    command = [reader, "--file", str(ROOT / "deploy" / "compose.yaml"), "config"]
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "a rather long secret" in done.stdout
    for missing in variables:
        others = {name: value for name, value in (os.environ | variables).items() if name != missing}
        done = subprocess.run(command, env=others, capture_output=True, timeout=120, check=False)
        assert done.returncode != 0, missing


def test_the_unit_leaves_the_process_little() -> None:
    """The line that systemd's own judge prints, at most 2 of 10."""
    judge = shutil.which("systemd-analyze")
    if judge is None:
        pytest.skip("no systemd-analyze here")
    unit = ROOT / "deploy" / "impasto-studio.service"
    done = subprocess.run(
        [judge, "security", "--offline=true", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    if exposure is None:
        pytest.skip(f"systemd-analyze does not judge here: {done.stderr[:100]}")
    assert float(exposure[1]) <= 2.0
    assert "ignoring" not in done.stderr
