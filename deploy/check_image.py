"""Builds the image and runs it as ``compose.yaml`` says, without Docker's daemon: with Podman, as root.

    python deploy/check_image.py
    python deploy/check_image.py --base base.tar -- --volume HERE:THERE:ro

``--base`` stands in for the base image where no registry can be reached: a root folder as a tar archive, from
``mmdebstrap --variant=minbase --include=ca-certificates,python3-venv,python-is-python3 bookworm base.tar``.
What follows ``--`` is passed to ``podman build``. Needs catatonit (for ``init: true``) and PyYAML. The
container has no network at all, where the studio of ``compose.yaml`` has one that leads nowhere. Where Podman
itself may not raise limits or finds both versions of control groups, give it runc and lower limits, in
``containers.conf``: ``[engine] runtime = "runc"``, ``[containers] default_ulimits = ["nofile=20000:20000",
"nproc=9000:9000"]``.

Prints a line for each thing that holds, and ends with 1 at the first that does not.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parent
IMAGE, NAME, VOLUME = "localhost/impasto", "impasto-check", "impasto-check-data"
PUBLIC_NAME, TOKEN = "studio.example.org", secrets.token_urlsafe()
READY_SECONDS = 600

#: Run in the container: paint one picture and begin a long one, or wait until that one is beyond a progress,
#: which it must not fall behind.
CLIENT = """
import os
import sys

from impasto import pictures, samples
from impasto.studio.client import Client, StudioError

try:
    Client("http://127.0.0.1:7860").styles()
except StudioError:
    pass
else:
    sys.exit("answers without the token")
studio = Client("http://127.0.0.1:7860", token=os.environ["IMPASTO_STUDIO_TOKEN"])
if sys.argv[1] == "paint":
    pictures.save("/tmp/photo.png", samples.photograph("chelsea")[..., :256, :256])
    result = studio.paint("/tmp/photo.png", "wave", preset="draft", size=256)
    print(len(result.data), "bytes")
    long = dict(size=256, coarsest=256, iterations=[100000], tolerance=0)
    print(studio.submit("/tmp/photo.png", "wave", preset="classic", **long).id)
else:
    for job in studio.events(sys.argv[2]):
        if job.final:
            sys.exit(f"ended as {job.state}: {job.error}")
        if job.progress < float(sys.argv[3]):
            sys.exit(f"began again: {job.progress} after {sys.argv[3]}")
        if job.state == "running" and job.progress > float(sys.argv[3]):
            print(job.progress)
            break
"""


class CheckError(Exception):
    """Something does not hold."""


def podman(*arguments: str, given: str | None = None, check: bool = True) -> str:
    """What ``podman`` writes."""
    done = subprocess.run(["podman", *arguments], input=given, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise CheckError(
            f"podman {' '.join(arguments)[:100]}: {(done.stderr or done.stdout).strip()[-2000:]}"
        )
    return done.stdout.strip()


def build(base: Path | None, options: list[str]) -> None:
    """Build the image from ``Dockerfile``, on ``base`` if it is given."""
    dockerfile = DEPLOY / "Dockerfile"
    if base is not None:
        for name in set(re.findall(r"^FROM (\S+)", dockerfile.read_text(encoding="utf-8"), re.M)):
            podman("import", str(base), f"docker.io/library/{name}")
        options = ["--pull=never", *options]
    # OCI's own format has no health check.
    form = ["--format=docker", f"--file={dockerfile}", f"--tag={IMAGE}"]
    command = ["podman", "build", *form, *options, str(DEPLOY.parent)]
    subprocess.run(command, check=True)


def options_of(service: dict[str, Any]) -> list[str]:
    """A service's restrictions as flags of ``podman run``; one that is not known here raises ``KeyError``."""
    flags: dict[str, Callable[[Any], list[str]]] = {
        "build": lambda _: [],
        "command": lambda _: [],
        "restart": lambda _: [],
        "networks": lambda _: ["--network=none"],
        "stop_grace_period": lambda value: [f"--stop-timeout={value.removesuffix('s')}"],
        "environment": lambda value: [f"--env={name}={TOKEN}" for name in value],
        "volumes": lambda value: [f"--volume={VOLUME}:{one.partition(':')[2]}" for one in value],
        "init": lambda value: ["--init"] if value else [],
        "read_only": lambda value: ["--read-only", "--read-only-tmpfs=false"] if value else [],
        "tmpfs": lambda value: [f"--tmpfs={one}" for one in value],
        "cap_drop": lambda value: [f"--cap-drop={one.lower()}" for one in value],
        "security_opt": lambda value: [f"--security-opt={one.removesuffix(':true')}" for one in value],
        "mem_limit": lambda value: [f"--memory={value}"],
        "pids_limit": lambda value: [f"--pids-limit={value}"],
    }
    return [flag for name, value in service.items() for flag in flags[name](value)]


def in_container(*command: str, given: str | None = None) -> str:
    """What a command writes in the container, as the image's user."""
    return podman("exec", "--interactive", NAME, *command, given=given)


def wait_until_healthy() -> None:
    """Wait for the image's own health check."""
    image = json.loads(podman("image", "inspect", IMAGE))[0]
    test = image["Healthcheck"]["Test"]
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if (
            subprocess.run(["podman", "exec", NAME, *test[1:]], capture_output=True, check=False).returncode
            == 0
        ):
            return
        time.sleep(1.0)
    raise CheckError(f"not healthy after {READY_SECONDS} s: {podman('logs', NAME, check=False)[-2000:]}")


def check_confinement() -> None:
    """The process has the image's user, no capability, no new privileges, and a root that it cannot write."""
    status = in_container("cat", "/proc/self/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    expected = {
        "Uid": "10001\t10001\t10001\t10001",
        "CapEff": "0" * 16,
        "CapBnd": "0" * 16,
        "NoNewPrivs": "1",
    }
    for name, value in expected.items():
        if facts[name] != value:
            raise CheckError(f"{name} is {facts[name]}, not {value}")
    writable = in_container(
        "sh", "-c", "for d in / /opt/impasto /home/impasto /tmp /data; do test -w $d && echo $d; done; true"
    )
    if writable.split() != ["/tmp", "/data"]:
        raise CheckError(f"writable are {writable.split()}, not only /tmp and /data")


def check(base: Path | None, options: list[str]) -> None:
    """Build, run, paint, stop, go on."""
    build(base, options)
    print("built, bytes:", json.loads(podman("image", "inspect", IMAGE))[0]["Size"])
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    service = compose["services"]["studio"]
    command = [PUBLIC_NAME if one.startswith("${STUDIO_NAME") else one for one in service["command"]]
    restrictions = options_of(service)
    podman("run", "--detach", f"--name={NAME}", *restrictions, IMAGE, *command)
    print("runs with", *(flag for flag in restrictions if not flag.startswith("--env")))
    wait_until_healthy()
    check_confinement()
    print("healthy and confined")
    size, job = in_container("python", "-", "paint", given=CLIENT).splitlines()
    print("painted a picture of", size)
    progress = in_container("python", "-", "wait", job, "0", given=CLIENT)
    podman("stop", NAME)
    state = json.loads(podman("container", "inspect", NAME))[0]["State"]
    if state["ExitCode"] or state.get("OOMKilled"):
        raise CheckError(f"SIGTERM ended it with {state['ExitCode']}: {podman('logs', NAME)[-2000:]}")
    podman("start", NAME)
    wait_until_healthy()
    print("drained, and goes on from", in_container("python", "-", "wait", job, progress, given=CLIENT))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, help="tar archive of a root folder, instead of the base image")
    parser.add_argument("options", nargs="*", help="after --: of podman build")
    arguments = parser.parse_args()
    try:
        check(arguments.base, arguments.options)
    except (CheckError, subprocess.CalledProcessError) as error:
        print(f"check_image: {error}", file=sys.stderr)
        return 1
    finally:
        podman("rm", "--force", "--time=30", NAME, check=False)
        podman("volume", "rm", "--force", VOLUME, check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
