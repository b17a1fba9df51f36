"""Debian's Firefox without a window, driven by Mozilla's protocol Marionette: JSON after its own length."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

_PREFERENCES = {
    "marionette.port": 0,  # Firefox picks one and writes it into the profile
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
}
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of the W3C's WebDriver


class Firefox:
    """A Firefox with a fresh profile and a camera with a moving picture; skips where there is none."""

    def __init__(self, folder: Path) -> None:
        if FIREFOX is None:
            pytest.skip("no firefox here: apt-get install firefox-esr")
        folder.mkdir()
        lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in _PREFERENCES.items()]
        (folder / "user.js").write_text("\n".join(lines))
        command = [FIREFOX, "--headless", "--no-remote", "--marionette", "--profile", str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._socket = socket.create_connection(("127.0.0.1", self._port(folder)))
        self._stream = self._socket.makefile("rb")
        self._count = 0
        self._read()  # it introduces itself
        self.send("WebDriver:NewSession")
        self.send("WebDriver:SetTimeouts", script=120_000)

    def _port(self, folder: Path, seconds: float = 60) -> int:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            file = folder / "MarionetteActivePort"
            if file.exists() and (text := file.read_text().strip()):
                return int(text)
            time.sleep(0.1)
        self._process.kill()
        raise AssertionError("Firefox does not listen")

    def _read(self) -> Any:
        length = b""
        while (byte := self._stream.read(1)) != b":":
            assert byte, "Firefox has ended"
            length += byte
        return json.loads(self._stream.read(int(length)))

    def send(self, command: str, **parameters: Any) -> Any:
        """Run a command of WebDriver; returns what it answers."""
        self._count += 1
        data = json.dumps([0, self._count, command, parameters]).encode()
        self._socket.sendall(b"%d:" % len(data) + data)
        _, _, error, result = self._read()
        assert error is None, error
        return result.get("value") if isinstance(result, dict) else result

    def open(self, address: str) -> None:
        self.send("WebDriver:Navigate", url=address)

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a function's body, run in the page."""
        return self.send("WebDriver:ExecuteScript", script=script, args=list(arguments))

    def wait(self, expression: str, seconds: float = 120) -> Any:
        """The first true value of an expression."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(f"return {expression};"):
                return value
            time.sleep(0.1)
        raise AssertionError(f"still false: {expression}")

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click();", selector)

    def choose_file(self, selector: str, path: Path) -> None:
        element = self.send("WebDriver:FindElement", using="css selector", value=selector)[_ELEMENT]
        self.send("WebDriver:ElementSendKeys", id=element, text=str(path))

    def __enter__(self) -> Firefox:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
