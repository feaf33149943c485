"""Puts genres into a file, and takes them back: a copy is changed, checked, logged, and takes the file's name.

At no moment is there less than a whole file under the name, old or new; a full disk or a kill leave the old one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_pipeline.tags import tag_file
from data_pipeline.tags.tag_file import TagError
from mgc_jax.tagging.difference import Recipe, RecipeError, difference, restore
from mgc_jax.tagging.undo_log import Change, FileState, UndoLog


def check_writable(file: Path) -> None:
    """Raises TagError where the file is read-only, which its folder alone would not say."""
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise TagError(f"cannot be opened: {error.strerror}") from None
    if not mode & 0o222 or not os.access(file, os.W_OK):  # root may write what nobody is to write
        raise TagError("read-only")


def identity(file: Path) -> tuple[int, int, int]:
    """What tells whether a file is still the same one: its number, size and time of change; raises TagError where it
    is not there."""
    try:
        info = file.stat()
    except OSError as error:
        raise TagError(f"cannot be opened: {error.strerror}") from None
    return info.st_ino, info.st_size, info.st_mtime_ns


def write_genres(
    file: Path, old: Sequence[str], new: Sequence[str], as_read: tuple[int, int, int], log: UndoLog, settings: str
) -> None:
    """Let ``file``, whose genres are ``old``, have the genres ``new``; ``as_read`` is the :func:`identity` that it had
    when the genres were found. It keeps its owner and its permissions; the time of change is now, so that players see
    that it changed.

    Raises:
        TagError: its tags cannot be written, it is read-only, the disk is full, or it changed meanwhile. It is left as
            it was.
        InputError: the log cannot be written. The file is left as it was.
    """
    check_writable(file)
    with _copy_beside(file) as copy:
        shutil.copyfile(file, copy)
        before = _state(file)
        tag_file.write_genres(copy, new)
        _keep_rights(file, copy)
        os.utime(copy)
        recipe = difference(file, copy)
        _sync(copy)
        after = _state(copy)
        if _made_again(recipe, copy) != before.sha256:
            raise TagError("changed while it was being read")
        if identity(file) != as_read:
            raise TagError("changed while its genres were being found")
        log.add(Change(str(file), settings, tuple(old), tuple(new), before, after, recipe))
        os.replace(copy, file)
        _sync_folder(file.parent)


def take_back(change: Change) -> bool:
    """Let the file be what it was before the change, byte for byte, with its old time of change; False where it is
    that already.

    Raises:
        TagError: it is not what the change left, or cannot be written. It is left as it is.
    """
    file = Path(change.file)
    identity(file)
    now = _state(file).sha256
    if now == change.before.sha256:
        return False
    if now != change.after.sha256:
        raise TagError("has changed since; it is left as it is")
    check_writable(file)
    with _copy_beside(file) as copy:
        try:
            with copy.open("wb") as out:
                restore(change.recipe, file, out)
        except RecipeError:
            raise TagError("the log does not say enough to make the old file") from None
        if _state(copy).sha256 != change.before.sha256:
            raise TagError("the log does not say enough to make the old file")
        _keep_rights(file, copy)
        os.utime(copy, ns=(change.before.mtime_ns, change.before.mtime_ns))
        _sync(copy)
        os.replace(copy, file)
        _sync_folder(file.parent)
    return True


@contextlib.contextmanager
def _copy_beside(file: Path) -> Iterator[Path]:
    """A new hidden file in the same folder, gone afterwards unless it was renamed; whatever the system refuses is a
    TagError."""
    ending = file.suffix if len(file.suffix) < 9 else ""  # by which mutagen tells some formats
    copy = file.with_name(f".mgc-jax-{secrets.token_hex(6)}.partial{ending}")
    try:
        copy.touch(mode=0o600, exist_ok=False)
        yield copy
    except OSError as error:
        raise TagError(f"cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)


def _keep_rights(file: Path, copy: Path) -> None:
    """The owner, the permissions and the extended attributes of ``file`` for ``copy``, as far as the system lets."""
    info = file.stat()
    with contextlib.suppress(OSError, AttributeError):
        os.chown(copy, info.st_uid, info.st_gid)
    shutil.copystat(file, copy)
    os.chmod(copy, stat.S_IMODE(info.st_mode))


def _state(file: Path) -> FileState:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        info = os.fstat(content.fileno())
    return FileState(info.st_size, info.st_mtime_ns, digest)


class _Digest:
    """Takes what is written to a file, and keeps its sha256 only."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self.sha256.update(block)
        return len(block)


def _made_again(recipe: Recipe, copy: Path) -> str:
    digest = _Digest()
    restore(recipe, copy, digest)
    return digest.sha256.hexdigest()


def _sync(file: Path) -> None:
    with file.open("rb") as content:
        os.fsync(content.fileno())


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError, AttributeError):
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
