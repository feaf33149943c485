"""A prepared data set or a model in a bucket, and its copy on this machine's disk, where files are read at random.

Addresses are fsspec's: ``gs://`` and ``s3://`` with the extra cloud, ``az://`` and others with what fsspec names.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from data_pipeline import extras
from data_pipeline.errors import InputError
from data_pipeline.storage import user_cache
from data_pipeline.storage.files import replacing, sha256, stays_inside
from data_pipeline.storage.json_file import parse_json

_AT_ONCE = 8
_MARKS = ("size", "etag", "ETag", "md5Hash", "crc32c", "mtime", "updated", "LastModified", "last_modified", "created")
"""Where the kinds of buckets say that a file is another one than before."""


def is_address(place: str | Path) -> bool:
    """Whether ``place`` is an address like ``gs://bucket/folder`` and no folder of this machine."""
    return isinstance(place, str) and "://" in place


class Bucket:
    """A folder in a bucket; all methods raise InputError for whatever stands in the way."""

    def __init__(self, address: str) -> None:
        import fsspec

        self.address = address.rstrip("/")
        with self._reached():
            self._files, self._root = fsspec.core.url_to_fs(self.address)
        if "file" in self._files.protocol:
            raise InputError(f"{self.address} is on this machine; give it as a plain path.")

    def names(self) -> list[str]:
        """What lies directly in the folder; nothing where there is no folder."""
        with self._reached():
            try:
                found = [PurePosixPath(entry) for entry in self._files.ls(self._root, detail=False)]
            except FileNotFoundError:
                return []
            return sorted(entry.name for entry in found if entry != PurePosixPath(self._root))

    def check_writable(self) -> None:
        """Finds out before the work and not after it."""
        trial = f"{self._root}/dataset.json.{secrets.token_hex(4)}.partial"  # of this call alone
        with self._reached():
            self._files.pipe_file(trial, b"-")
            self._files.rm_file(trial)

    def read_text(self, name: str) -> str:
        """One small file."""
        with self._reached():
            return self._files.cat_file(f"{self._root}/{name}").decode()

    def staging(self) -> Path:
        """The folder of this machine in which the data set is prepared, the same one after a run was killed."""
        return user_cache.folder() / "prepare" / sha256(self.address)[:16]

    def upload(self, folder: Path, progress: Callable[[int, int], None]) -> None:
        """Copies a prepared data set here, ``dataset.json`` last: the mark of completeness."""
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        names.remove("dataset.json")

        def put(name: str) -> None:
            self._files.put_file(str(folder / name), f"{self._root}/{name}")

        with self._reached():
            _for_each(put, names, progress)
            put("dataset.json")

    def download(self, progress: Callable[[int, int], None] | None = None) -> Path:
        """The folder of this machine that holds a copy of the data set, made where it is not there yet.

        Every preparation of the data set has a copy of its own. Several processes may download at once.
        """
        if "dataset.json" not in self.names():
            raise InputError(f"There is no prepared data set in {self.address}; make one with mgc-jax prepare.")
        meta = self.read_text("dataset.json")
        folder = user_cache.folder() / "data" / sha256([self.address, meta, self.read_text("report.json")])[:16]
        try:
            shards = [str(shard["file"]) for split in parse_json(meta)["shards"].values() for shard in split]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{self.address}/dataset.json is broken; prepare the data set again.") from error
        for name in shards:
            if not stays_inside(name):
                raise InputError(f"{self.address}/dataset.json names a file outside of its folder: {name!r}.")

        return self._copy(["genres.json", "tracks.tsv", *shards, "dataset.json"], folder, progress)

    def download_files(self, wanted: Callable[[str], bool], progress: Callable[[int, int], None] | None = None) -> Path:
        """The folder of this machine that holds a copy of those files whose path within this folder is ``wanted``.

        Each state of these files has a copy of its own.
        """
        with self._reached():
            found = self._files.find(self._root, detail=True)
        files = {path.removeprefix(self._root).lstrip("/"): info for path, info in found.items()}
        files = {name: info for name, info in sorted(files.items()) if name and wanted(name)}
        if outside := [name for name in files if not stays_inside(name)]:
            raise InputError(f"{self.address} holds a file outside of its folder: {outside[0]!r}.")
        if not files:
            raise InputError(f"There is nothing in {self.address}.")
        state = [[name, *(str(info.get(mark)) for mark in _MARKS)] for name, info in files.items()]
        return self._copy(files, user_cache.folder() / "models" / sha256([self.address, state])[:16], progress)

    def _copy(self, names: Iterable[str], folder: Path, progress: Callable[[int, int], None] | None) -> Path:
        """``folder`` with a copy of these files; those that are there stay."""

        def get(name: str) -> None:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as partial:
                self._files.get_file(f"{self._root}/{name}", str(partial))

        wanted = [name for name in names if not (folder / name).is_file()]
        with self._reached():
            _for_each(get, wanted, progress or (lambda done, total: None))
        return folder

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            if self.address.startswith(("gs://", "s3://")):
                raise extras.missing(self.address, ("cloud",), str(error).rstrip(".")) from None
            raise InputError(f"{self.address} needs one more package: {error}.") from error
        except Exception as error:  # every kind of bucket has errors of its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            if isinstance(error, FileNotFoundError):
                reason = f"not found: {reason}"
            raise InputError(
                f"{self.address} cannot be used ({reason}); check the address, your credentials and the space left."
            ) from error


def _for_each(copy: Callable[[str], None], names: Sequence[str], progress: Callable[[int, int], None]) -> None:
    """Copies several files at once; raises what the first copy that fails raises."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        try:
            for done, _ in enumerate(threads.map(copy, names), start=1):
                progress(done, len(names))
        finally:
            threads.shutdown(cancel_futures=True)
