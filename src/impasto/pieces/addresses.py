"""Files that every machine reaches by an address: ``s3://bucket/key``, ``gs://…``, ``file:///shared/folder``.

A piece that reads or writes an address does so wherever it is worked on, and nothing travels through the
process that asked for it. fsspec does the work, with the packages and credentials that it finds on each
machine.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeAlias

from impasto.errors import ImpastoError, PictureError
from impasto.files import write_atomically

__all__ = ["Address", "Entry", "Location", "is_address", "location"]

#: Protocol → what installs the package that fsspec needs for it.
INSTALLS = {"s3": "'impasto[cloud]'", "s3a": "'impasto[cloud]'", "gs": "gcsfs", "gcs": "gcsfs"}
#: Google Cloud Storage, by either name.
GOOGLE = ("gs", "gcs")
#: What stores know about the contents of a file without reading it, by their names for it.
FINGERPRINTS = ("ETag", "md5Hash", "crc32c", "etag", "content_md5")


@dataclass(frozen=True)
class Address:
    """A file or folder with an address.

    Attributes:
        url: with its protocol, as in ``s3://bucket/photos/a.jpg``.
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, path: str | PurePath) -> Address:
        return Address(f"{self.url.rstrip('/')}/{PurePath(path).as_posix()}")

    @property
    def protocol(self) -> str:
        """``s3`` of ``s3://bucket``."""
        return self.url.partition("://")[0]

    @property
    def path(self) -> str:
        """The address as its file system has it: ``bucket/photos/a.jpg``."""
        return str(self._files()._strip_protocol(self.url))

    @property
    def local(self) -> Path | None:
        """The path of ``file://``, which is a folder that all machines share; None for other protocols."""
        return Path(self.path) if self.protocol in ("file", "local") else None

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.url).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending of the name, with its point."""
        return PurePosixPath(self.name).suffix

    def read_bytes(self) -> bytes:
        """All bytes of the file.

        Raises:
            PictureError: it cannot be read.
        """
        with self._errors("read"):
            return bytes(self._files().cat_file(self.path))

    def write_bytes(self, data: bytes) -> None:
        """Write all of the file or none of it: stores replace an object when all of it has arrived.

        Raises:
            PictureError: it cannot be written.
        """
        with self._errors("written"):
            if (path := self.local) is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, data)
            else:
                self._files().pipe_file(self.path, data)

    def is_file(self) -> bool:
        """Whether there is such a file."""
        with self._errors("read"):
            return bool(self._files().isfile(self.path))

    def entry(self) -> Entry | None:
        """What the store knows of the file; None if there is none."""
        with self._errors("read"):
            try:
                facts = self._files().info(self.path)
            except FileNotFoundError:
                return None
        return _entry(self, facts) if facts["type"] == "file" else None

    def files(self, *, recursive: bool) -> Iterator[Entry]:
        """The files in a folder, as they are listed: a page or a folder at a time.

        Args:
            recursive: those in the folders below too.

        Raises:
            PictureError: it cannot be listed.
        """
        with self._errors("read"):
            if hasattr(self._files(), "call_s3"):
                yield from self._objects(recursive)
                return
            files, depth = self._files(), None if recursive else 1
            if not files.exists(self.path):  # a folder of a store exists when there is something in it
                bucket = self.path.partition("/")[0]
                if self.protocol in GOOGLE and not files.exists(bucket):
                    raise _no_bucket(bucket)
                return
            for folder, _, found in files.walk(self.path, maxdepth=depth, detail=True, on_error="raise"):
                inside = str(folder).removeprefix(self.path).strip("/")
                for name, facts in found.items():
                    yield _entry(self / inside / name if inside else self / name, facts)

    def _objects(self, recursive: bool) -> Iterator[Entry]:
        """As :meth:`files` for S3, page by page: s3fs itself holds all objects of a folder."""
        files = self._files()
        bucket, _, folder = self.path.partition("/")
        folder = f"{folder.rstrip('/')}/" if folder.rstrip("/") else ""
        options: dict[str, Any] = {"Bucket": bucket, "Prefix": folder}
        options |= {} if recursive else {"Delimiter": "/"}
        while True:
            try:
                page = files.call_s3("list_objects_v2", **options)
            except FileNotFoundError:
                raise _no_bucket(bucket) from None
            for found in page.get("Contents", ()):
                if not found["Key"].endswith("/"):
                    yield _entry(Address(f"{self.protocol}://{bucket}/{found['Key']}"), found)
            if not page.get("NextContinuationToken"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def _files(self) -> Any:
        """fsspec's file system, which it keeps for the lifetime of the process."""
        import fsspec

        if self.protocol in GOOGLE:  # what it reports on the screen, tracebacks among it, is raised as well
            logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        try:
            # Without its cache of listings, which would not see what other machines write.
            return fsspec.filesystem(self.protocol, use_listings_cache=False)
        except ImportError:
            package = INSTALLS.get(self.protocol)
            raise ImpastoError(
                f"addresses of {self.protocol}:// need a package that is not installed here",
                remedy=f"pip install {package}" if package else "see the list in fsspec's documentation",
            ) from None
        except ValueError:
            raise ImpastoError(
                f"an address of {self.protocol}://", "such as s3://, gs:// and file://", "check the address"
            ) from None

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        """Turn whatever a store raises into one line.

        Args:
            done: what was tried, as a participle: ``read``.
        """
        try:
            yield
        except ImpastoError:
            raise
        except Exception as error:  # noqa: BLE001 - every store has its own errors
            if isinstance(error, FileNotFoundError) and done == "read":
                raise PictureError(f"there is no file '{self.url}'", remedy="check the address") from None
            reason = " ".join(f"{error or type(error).__name__}".split())[:200]
            raise PictureError(
                f"'{self.url}' cannot be {done}: {reason}", remedy="check the address and the credentials"
            ) from None


@dataclass(frozen=True)
class Entry:
    """A file in a listing.

    Attributes:
        size: in bytes.
        fingerprint: changes with the contents, where the store tells one; None elsewhere.
    """

    address: Address
    size: int
    fingerprint: str | None


def _entry(address: Address, facts: dict[str, Any]) -> Entry:
    size = facts.get("size", facts.get("Size"))
    known = next((f"{name} {facts[name]}" for name in FINGERPRINTS if facts.get(name)), None)
    return Entry(address, int(size or 0), known)


def _no_bucket(name: str) -> PictureError:
    return PictureError(f"there is no bucket '{name}'", remedy="check the address")


#: Where a file is.
Location: TypeAlias = Path | Address


def is_address(word: str) -> bool:
    """Whether a word is an address and not a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", word) is not None


def location(word: str) -> Location:
    """A word of the command line as a path or an address."""
    return Address(word) if is_address(word) else Path(word)
