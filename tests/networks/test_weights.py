"""Fetching weights, from a local server that fails in all the ways servers fail."""

from __future__ import annotations

import errno
import hashlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from safetensors.torch import load_file, save_file

from impasto.errors import WeightsError
from impasto.networks import download, weights
from impasto.networks.checkpoints import fingerprint
from impasto.networks.published import Source
from impasto.progress import Progress, listening
from weight_files import block1, same, torchvision_keys
from weights_server import BODY, SHA, STATE, Page, Server, pth

Publish = Callable[..., None]


def refused(**arguments: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        weights.fetch("tiny", **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leftovers(home: Path) -> list[str]:
    return sorted(p.name for p in home.iterdir() if not p.name.endswith(".lock"))


# -- the good way


def test_fetch_keeps_the_convolutions_alone_and_reports(server: Server, publish: Publish, home: Path) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), bytes=len(BODY), sha256=SHA))
    calls: list[Progress] = []
    assert weights.locate("tiny") is None
    with listening(calls.append):
        path = weights.fetch("tiny")
    assert path == weights.locate("tiny") == home / "tiny.safetensors"
    assert same(dict(sorted(load_file(path).items())), dict(sorted(STATE.items())))
    assert leftovers(home) == ["tiny.safetensors"], "the downloaded file is gone"
    assert calls[-1] == Progress("downloading a.pth", len(BODY), len(BODY), "bytes")
    assert [call.done for call in calls] == sorted(call.done for call in calls)
    assert weights.fetch("tiny") == path
    assert same(weights.ensure("tiny"), STATE)
    assert len(server.requests) == 1, "what is cached is not fetched again"
    weights.fetch("tiny", force=True)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "known", [{"sha256": SHA}, {"sha256": SHA[:8]}, {"md5": hashlib.md5(BODY).hexdigest()}]
)
def test_digests_full_first_digits_and_md5(server: Server, publish: Publish, known: dict[str, str]) -> None:
    server.pages["/a.pth"] = Page(announce_length=False)  # nobody says how long it is
    publish(Source(server.url("/a.pth"), **known))
    assert same(weights.ensure("tiny"), STATE)
    assert weights.verify("tiny") == weights.locate("tiny")


def test_another_container_serves_as_well(server: Server, publish: Publish, tmp_path: Path) -> None:
    save_file(torchvision_keys(STATE), tmp_path / "x")
    body = (tmp_path / "x").read_bytes()
    server.pages["/model.safetensors"] = Page(body)
    prints = {key: fingerprint(value) for key, value in STATE.items()}
    digest = hashlib.sha256(body).hexdigest()
    publish(Source(server.url("/model.safetensors"), sha256=digest), fingerprints=prints)
    assert same(weights.ensure("tiny"), STATE)


# -- resuming


def test_a_cut_connection_is_resumed(server: Server, publish: Publish) -> None:
    server.pages["/a.pth"] = Page(cuts=[50_000, 30_000])
    publish(Source(server.url("/a.pth"), bytes=len(BODY), sha256=SHA))
    assert same(weights.ensure("tiny"), STATE)
    assert [asked for _, asked in server.requests] == [None, "bytes=50000-", "bytes=80000-"]


def test_a_later_run_continues_an_earlier_one(server: Server, publish: Publish, home: Path) -> None:
    server.pages["/a.pth"] = Page(cuts=[40_000, 0])  # cut, then nothing at all: this run gives up
    publish(Source(server.url("/a.pth"), bytes=len(BODY), sha256=SHA))
    assert "cut off after 40.0 kB" in refused()
    assert leftovers(home) == [f"a.pth.{SHA[:8]}.partial"]
    assert same(weights.ensure("tiny"), STATE)
    assert server.requests[-1][1] == "bytes=40000-"
    assert leftovers(home) == ["tiny.safetensors"]


def test_mirrors_continue_each_other(server: Server, publish: Publish) -> None:
    server.pages["/one/a.pth"] = Page(cuts=[40_000, 0])
    server.pages["/two/a.pth"] = Page()
    publish(*(Source(server.url(f"/{place}/a.pth"), sha256=SHA) for place in ("one", "two")))
    assert same(weights.ensure("tiny"), STATE)
    assert server.requests[-1] == ("/two/a.pth", "bytes=40000-")


def test_a_server_that_ignores_range_starts_afresh(server: Server, publish: Publish) -> None:
    server.pages["/a.pth"] = Page(ranges=False, cuts=[40_000])
    publish(Source(server.url("/a.pth"), sha256=SHA))
    assert same(weights.ensure("tiny"), STATE)
    assert [asked for _, asked in server.requests] == [None, "bytes=40000-"]


@pytest.mark.parametrize("said", ["bytes 7-9/10", "nonsense"])
def test_a_server_with_a_strange_range_starts_afresh(server: Server, publish: Publish, said: str) -> None:
    server.pages["/a.pth"] = Page(cuts=[40_000], content_range=said)
    publish(Source(server.url("/a.pth"), sha256=SHA))
    assert same(weights.ensure("tiny"), STATE)
    assert server.requests[-1][1] is None


@pytest.mark.parametrize(
    ("content", "requests"),
    [
        (BODY, ["bytes={}-"]),  # whole already: 416 says so
        (BODY + b"more", ["bytes={}-", None]),  # longer than the file is now
        (b"something else", ["bytes={}-", None]),  # another beginning: the digest tells
    ],
)
def test_what_an_old_partial_file_may_hold(
    server: Server, publish: Publish, home: Path, content: bytes, requests: list[str | None]
) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), sha256=SHA))
    home.mkdir()
    (home / f"a.pth.{SHA[:8]}.partial").write_bytes(content)
    assert same(weights.ensure("tiny"), STATE)
    assert [asked for _, asked in server.requests] == [r and r.format(len(content)) for r in requests]


# -- sources that fail


BAD = {
    "404": (Page(status=404), "HTTP 404"),
    "503": (Page(status=503), "HTTP 503"),
    "web page": (Page(b"<html>sign in</html>", content_type="text/html; charset=utf-8"), "web page (HTML)"),
    "web page in disguise": (Page(b"<!doctype html><html>sign in</html>"), "web page (HTML)"),
    "truncated": (Page(cuts=[1000, *[0] * 9]), "cut off after 1.0 kB"),
    "truncated silently": (Page(BODY[:5000], announce_length=False), "not " + SHA[:8]),
    "wrong content": (Page(pth(block1(1))), "not " + SHA[:8]),
    "silent": (Page(delay=0.6), "no answer within"),
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", list(BAD))
def test_the_next_source_is_tried(
    server: Server, publish: Publish, home: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    page, reason = BAD[trouble]
    page = Page(**{**vars(page), "cuts": list(page.cuts)})
    if trouble == "silent":
        monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.pages |= {"/bad/a.pth": page, "/good.pth": Page()}
    bad, good = Source(server.url("/bad/a.pth"), sha256=SHA), Source(server.url("/good.pth"), sha256=SHA)
    publish(bad)
    message = refused()
    assert reason in message
    assert bad.url in message
    page.cuts = [1000, *[0] * 9] if page.cuts else []
    publish(bad, good)
    assert same(weights.ensure("tiny"), STATE)
    assert not [name for name in leftovers(home) if name.startswith("good")]


def test_a_wrong_length_is_refused_before_the_body(server: Server, publish: Publish, home: Path) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), bytes=574_673_361, sha256=SHA))
    assert "where 574.7 MB are expected" in refused()
    assert leftovers(home) == []


def test_a_body_that_does_not_end_is_refused(server: Server, publish: Publish) -> None:
    server.pages["/a.pth"] = Page(announce_length=False)
    publish(Source(server.url("/a.pth"), bytes=1000, sha256=SHA))
    assert "more than the 1.0 kB expected" in refused()


def test_right_digest_wrong_values(server: Server, publish: Publish, home: Path) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), sha256=SHA), fingerprints={"conv1_2.bias": "00"})
    assert "values of conv1_2.bias" in refused()
    assert leftovers(home) == []


def test_too_few_layers(
    server: Server, publish: Publish, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    body = pth({key: value for key, value in STATE.items() if "conv1_1" in key})
    server.pages["/a.pth"] = Page(body)
    publish(Source(server.url("/a.pth"), sha256=hashlib.sha256(body).hexdigest()))
    assert "conv1_2 is missing" in refused()


def test_offline_is_one_line_that_helps(publish: Publish, home: Path) -> None:
    with socket.socket() as closed:  # bound, not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
        publish(Source(f"{base}/a.pth", sha256=SHA), Source(f"{base}/b.h5", sha256=SHA))
        message = refused()
    for part in (
        "'tiny'",
        f"{base}/a.pth, {base}/b.h5 (connection refused)",
        "--weights FILE",
        "IMPASTO_HOME",
    ):
        assert part in message
    assert str(home) in message
    assert "a.pth or b.h5" in message


def test_a_cache_that_cannot_be_written(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IMPASTO_HOME", str(tmp_path / "file"))
    publish(Source("http://127.0.0.1:9/a.pth", sha256=SHA))
    assert "IMPASTO_HOME" in refused()


# -- copies on this machine


@pytest.mark.parametrize("place", ["cache", "torch/hub/checkpoints", "keras/models"])
def test_a_local_copy_spares_the_download_and_stays(publish: Publish, tmp_path: Path, place: str) -> None:
    copy = tmp_path / place / "a.pth"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(BODY)
    publish(Source("http://127.0.0.1:9/a.pth", sha256=SHA))
    assert same(weights.ensure("tiny"), STATE)
    assert copy.read_bytes() == BODY


def test_a_wrong_local_copy_is_named(publish: Publish, home: Path) -> None:
    home.mkdir()
    (home / "a.pth").write_bytes(b"<html></html>")
    publish(Source("http://127.0.0.1:9/a.pth", sha256=SHA))
    assert f"{home / 'a.pth'} (it is a web page" in refused()


# -- two at once


@pytest.mark.slow
def test_two_at_once_download_once(server: Server, publish: Publish) -> None:
    server.pages["/a.pth"] = Page(delay=0.4)
    publish(Source(server.url("/a.pth"), sha256=SHA))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(weights.fetch("tiny"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(set(found)) == 1
    assert len(found) == 3
    assert len(server.requests) == 1


def test_waiting_is_not_silent(server: Server, publish: Publish, home: Path) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), sha256=SHA))
    home.mkdir()
    (home / f"a.pth.{SHA[:8]}.partial").write_bytes(BODY[:777])
    calls: list[float] = []

    def wait() -> None:
        with listening(lambda progress: calls.append(progress.done)):
            weights.fetch("tiny")

    with FileLock(home / ".tiny.lock"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        deadline = time.monotonic() + 5
        while not calls and time.monotonic() < deadline:
            time.sleep(0.02)
        assert calls[:1] == [777]
        assert not server.requests
    waiter.join(10)
    assert calls[-1] == len(BODY)


def test_a_file_system_without_locks_is_no_obstacle(
    server: Server, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), sha256=SHA))
    monkeypatch.setattr(FileLock, "acquire", no_locks)
    assert same(weights.ensure("tiny"), STATE)


# -- the cache afterwards


def test_verify_sees_one_flipped_bit(server: Server, publish: Publish) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), sha256=SHA))
    with pytest.raises(WeightsError, match="missing or cut off"):
        weights.verify("tiny")
    path = weights.fetch("tiny")
    assert weights.verify("tiny") == path
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="has changed since"):
        weights.verify("tiny")


def test_a_damaged_cache_is_fetched_anew(server: Server, publish: Publish) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), sha256=SHA))
    path = weights.fetch("tiny")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert weights.locate("tiny") is None
    assert same(weights.ensure("tiny"), STATE)
    path.write_bytes(whole[:-4] + b"\xff\xff\xff\xff")  # the right length, but NaN
    assert same(weights.ensure("tiny"), STATE)
    assert len(server.requests) == 3


def test_a_cache_copied_to_another_machine_works_offline(publish: Publish, home: Path) -> None:
    home.mkdir()
    save_file(STATE, home / "tiny.safetensors")
    publish(Source("http://127.0.0.1:9/a.pth", sha256=SHA))
    assert same(weights.ensure("tiny"), STATE)
    with pytest.raises(WeightsError, match="no digest to compare"):
        weights.verify("tiny")


# -- a given path


def test_a_given_path_comes_first(publish: Publish, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(BODY)
    publish(Source("http://127.0.0.1:9/a.pth", sha256=SHA))
    assert same(weights.ensure("tiny", path=tmp_path / "mine.pth"), STATE)
    with pytest.raises(WeightsError, match="No such file"):
        weights.ensure("tiny", path="nowhere.pth")


def test_another_published_network_is_recognised(publish: Publish, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(BODY)
    prints = {key: fingerprint(value) for key, value in STATE.items()}
    publish(Source("http://127.0.0.1:9/a.pth", sha256=SHA), fingerprints=prints)
    with pytest.raises(WeightsError, match="'tiny'; choose the encoder tiny"):
        weights.ensure("vgg19", path=tmp_path / "mine.pth")


@pytest.mark.parametrize("call", [weights.ensure, weights.fetch, weights.locate, weights.verify])
def test_unknown_names_list_the_known(call: Callable[[str], Any]) -> None:
    with pytest.raises(WeightsError, match=r"'vgg20'.*vgg19, vgg19-original"):
        call("vgg20")


# -- where, what and how much


def test_the_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_HOME", "~/painting")
    assert weights.cache_dir() == Path.home() / "painting"


@pytest.mark.skipif(sys.platform != "linux", reason="the default folder of Linux")
def test_the_default_cache_folder_is_where_earlier_versions_put_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("IMPASTO_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.cache_dir() == tmp_path / "impasto"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/invalid")
    assert weights.cache_dir() == Path.home() / ".cache" / "impasto"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights.cache_dir() == Path.home() / ".cache" / "impasto"
    assert not (tmp_path / "impasto").exists(), "asking creates nothing"


def test_embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights.resources, "files", lambda _: tmp_path)
    with pytest.raises(WeightsError, match="lacks the embedded encoder"):
        weights.embedded()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "compact.safetensors").write_bytes(b"12345")
    assert weights.embedded("compact") == tmp_path / "data" / "compact.safetensors"
    assert weights.status()[0].bytes == 5
    with pytest.raises(WeightsError, match="possible: compact"):
        weights.embedded("huge")


def test_status_lists_everything(server: Server, publish: Publish) -> None:
    server.pages["/a.pth"] = Page()
    publish(Source(server.url("/a.pth"), bytes=len(BODY), sha256=SHA))
    assert [entry.name for entry in weights.status()] == ["compact", "vgg19", "vgg19-original", "tiny"]
    assert weights.status()[-1] == ("tiny", None, len(BODY), "CC0")
    path = weights.fetch("tiny")
    assert weights.status()[-1] == ("tiny", path, path.stat().st_size, "CC0")


def test_listing_loads_no_torch() -> None:
    code = "import sys; from impasto.networks import weights; weights.status(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
