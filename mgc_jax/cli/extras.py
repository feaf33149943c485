"""Optional installations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from data_pipeline.errors import InputError


@contextmanager
def needed(what: str, *extras: str) -> Iterator[None]:
    """Imports in this context are there where all ``extras`` are installed; where not, say that ``what`` needs them.

    Raises:
        InputError: in place of an ImportError, with the installation's command.
    """
    try:
        yield
    except ImportError as error:
        noun = "extra" if len(extras) == 1 else "extras"
        raise InputError(
            f"{what} needs the {noun} {' and '.join(extras)} ({error}); pip install -e '.[{','.join(extras)}]'."
        ) from None
