"""Batches from and to addresses: a local S3 server (moto), and a folder that machines share."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from impasto.batch import run_batch
from impasto.batch.journal import Journal
from impasto.batch.listing import Listing
from impasto.errors import ImpastoError, PictureError
from impasto.pieces.addresses import Address

from .conftest import QUICK


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server on this machine."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(
    server: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Any:
    """s3://NAME with photos/{0,1,2}.png and styles/{wave,oil}.png, and s3fs's file system for it."""
    import s3fs

    for name, value in (
        ("AWS_ENDPOINT_URL", server), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem(use_listings_cache=False)
    name = f"b{abs(hash(request.node.name))}"
    files.mkdir(name)
    for path in Path("in").glob("*.png"):
        files.put_file(str(path), f"{name}/photos/{path.name}")
    for style in ("wave", "oil"):
        files.put_file(f"{style}.png", f"{name}/styles/{style}.png")
    files.bucket = f"s3://{name}"
    yield files
    s3fs.S3FileSystem.clear_instance_cache()


def names(files: Any, folder: str) -> set[str]:
    return {path.rpartition("/")[2] for path in files.ls(folder)}


@pytest.mark.slow
def test_a_batch_from_a_bucket_to_a_bucket_goes_on_where_it_was(bucket: Any) -> None:
    where = bucket.bucket

    def paint(**options: Any) -> Any:
        return run_batch(
            [f"{where}/photos"], [f"{where}/styles/wave.png"], f"{where}/painted", QUICK, **options
        )

    first = paint()
    assert (first.painted, len(first.pictures), dict(first.failures)) == (3, 3, {})
    assert names(bucket, f"{where}/painted") == {f"{k}-wave.png" for k in range(3)} | {
        "results",
        "results.csv",
    }
    expected = run_batch(["in"], ["wave.png"], "out", QUICK)
    assert expected.painted == 3
    for number in range(3):
        data = bucket.cat_file(f"{where}/painted/{number}-wave.png")
        assert data == Path(f"out/{number}-wave.png").read_bytes()
    rows = list(csv.DictReader(io.StringIO(bucket.cat_file(f"{where}/painted/results.csv").decode())))
    assert [(row["output"], row["status"], row["content"]) for row in rows] == [
        (f"{k}-wave.png", "done", f"{where}/photos/{k}.png") for k in range(3)
    ]

    assert paint().painted == 0
    bucket.put_file("oil.png", f"{where}/photos/1.png")  # other contents under the same name
    bucket.rm_file(f"{where}/painted/2-wave.png")
    assert paint().painted == 2
    bucket.pipe_file(f"{where}/photos/1.png", b"<html>not found")
    outcome = paint()
    assert (outcome.painted, [str(path) for path in outcome.failures]) == (0, [f"{where}/painted/1-wave.png"])
    assert "is an HTML page" in next(iter(outcome.failures.values()))


@pytest.mark.slow
def test_a_bucket_is_listed_page_by_page(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    where = bucket.bucket
    for name in ("a.jpg", "deep/er/b.JPG", ".hidden.jpg", "notes.txt", ".cache/c.jpg", "painted/0-x.jpg"):
        bucket.pipe_file(f"{where}/photos/{name}", b"x")
    call = type(bucket).call_s3
    pages: list[int] = []

    def short(self: Any, method: str, **options: Any) -> Any:
        page = call(self, method, **options, MaxKeys=2)
        pages.append(len(page.get("Contents", ())))
        return page

    monkeypatch.setattr(type(bucket), "call_s3", short)

    def found(pattern: str) -> list[tuple[str, str]]:
        listing = Listing([pattern], [f"{where}/styles/oil.png"], Address(f"{where}/photos/painted"))
        listing.name_results("{index}.png")
        files = [entry.content for entry in listing.entries()]
        assert all(file.fingerprint for file in files)
        return [(str(file.path).removeprefix(f"{where}/photos/"), file.folder.as_posix()) for file in files]

    flat = [("0.png", "."), ("1.png", "."), ("2.png", "."), ("a.jpg", ".")]
    assert found(f"{where}/photos") == found(f"{where}/photos/") == flat
    assert max(pages) <= 2 < len(pages)
    assert found(f"{where}/photos/**/*.*") == [*flat, ("deep/er/b.JPG", "deep/er")]
    assert found(f"{where}/photos/*.jpg") == [("a.jpg", ".")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contents", "message"),
    [("{}-none/photos", "there is no bucket 'b[0-9]*-none'; check"),
     ("{}/nothing", "there are no pictures in 's3://"), ("{}/photos/*.gif", "no picture matches 's3://"),
     ("{}/photos/7.png", "there are no pictures in|there is no file")],
)  # fmt: skip
def test_what_is_not_in_a_bucket_is_one_line(bucket: Any, contents: str, message: str) -> None:
    with pytest.raises(PictureError, match=message):
        run_batch([contents.format(bucket.bucket)], ["wave.png"], "out", QUICK)


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
def test_a_bucket_for_the_results_must_be_there() -> None:
    with pytest.raises(PictureError, match="there is no bucket 'no-such-bucket'; check the address"):
        run_batch(["in"], ["wave.png"], "s3://no-such-bucket/out", QUICK)
    with pytest.raises(PictureError, match="'s3://no-such-bucket/a' cannot be written: "):
        Address("s3://no-such-bucket/a").write_bytes(b"")


@pytest.mark.usefixtures("workplace")
def test_a_server_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", broken)
    with pytest.raises(PictureError, match="cannot be read: Unable to locate credentials; check the address"):
        list(Address("s3://bucket/photos").files(recursive=True))


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("Unable to locate\n credentials")


@pytest.mark.parametrize(
    ("url", "message"),
    [("gs://bucket/a", "addresses of gs:// need a package that is not installed here; pip install gcsfs"),
     ("moon://bucket/a", "an address of moon://; such as s3://")],
)  # fmt: skip
def test_an_address_that_fsspec_cannot_open_is_one_line(
    monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    import fsspec

    def missing(protocol: str, **_: Any) -> Any:
        raise ImportError("Please install gcsfs") if protocol == "gs" else ValueError("Protocol not known")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(ImpastoError, match=message):
        Address(url).read_bytes()


# -- a folder that machines share ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_a_shared_folder_is_read_and_written_where_the_work_is_done(workplace: Path) -> None:
    shared = f"file://{workplace}"
    outcome = run_batch([f"{shared}/in/*.png"], [f"{shared}/wave.png"], f"{shared}/out", QUICK, processes=2)
    assert (outcome.painted, dict(outcome.failures)) == (3, {})
    assert Path("out/results.jsonl").read_text().count("\n") == 3
    assert not list(Path("out").glob("*.partial*"))
    written = {path.name: path.read_bytes() for path in Path("out").glob("*.png")}
    run_batch(["in"], ["wave.png"], "own", QUICK)
    assert written == {path.name: path.read_bytes() for path in Path("own").glob("*.png")}
    again = run_batch(["in"], ["wave.png"], "out", QUICK)  # known by its contents, whatever it was called
    assert again.painted == 0


def test_a_piece_takes_no_file_with_an_address_along(workplace: Path) -> None:
    from impasto.batch.painting import PaintingOptions, PicturePiece

    shared = Address(f"file://{workplace}/in/0.png")
    digests = {shared: "one", Path("wave.png"): "two"}
    piece = PicturePiece(
        Address("s3://b/out.png"), shared, (Path("wave.png"),), PaintingOptions(QUICK), digests
    )
    assert piece.inputs() == [Path("wave.png")]


@pytest.mark.parametrize(
    ("url", "name", "stem", "suffix"),
    [("s3://bucket/photos/a.b.jpg", "a.b.jpg", "a.b", ".jpg"), ("s3://bucket", "bucket", "bucket", "")],
)
def test_the_parts_of_an_address(url: str, name: str, stem: str, suffix: str) -> None:
    address = Address(url)
    assert (str(address), address.name, address.stem, address.suffix) == (url, name, stem, suffix)
    assert str(address / "x/y.png") == f"{url}/x/y.png"


def test_other_stores_are_listed_too() -> None:
    """fsspec's file system in memory, which stands for all that are not S3."""
    root = Address("memory://listing")
    for name in ("a.jpg", "deep/b.jpg"):
        (root / name).write_bytes(b"abc")
    assert [entry.address.name for entry in root.files(recursive=False)] == ["a.jpg"]
    found = {str(entry.address): entry.size for entry in root.files(recursive=True)}
    assert found == {"memory://listing/a.jpg": 3, "memory://listing/deep/b.jpg": 3}
    assert (root / "a.jpg").read_bytes() == b"abc"
    assert (root / "none").entry() is None
    with pytest.raises(PictureError, match="there is no file 'memory://listing/none'"):
        (root / "none").read_bytes()


@pytest.mark.parametrize("part_seconds", [0.0, 1000.0])
def test_the_journal_of_a_store_is_written_in_parts(
    monkeypatch: pytest.MonkeyPatch, part_seconds: float
) -> None:
    monkeypatch.setattr("impasto.batch.journal.PART_SECONDS", part_seconds)
    folder = Address(f"memory://journal-{part_seconds}")
    journal = Journal(folder)
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"12345")
        journal.add({"identity": str(number), "output": f"{number}.png", "bytes": 5})
    parts = [] if part_seconds else list((folder / "results").files(recursive=False))
    assert len(parts) == (0 if part_seconds else 3)
    journal.close()
    (folder / "1.png").write_bytes(b"1234")
    again = Journal(folder)
    assert [again.finished(str(k), f"{k}.png") is not None for k in range(3)] == [True, False, True]
