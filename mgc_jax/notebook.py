"""What a notebook adds: a person's mistake is one sentence there too, and songs can be played where they are named."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from mgc_jax.runtime.signals import Stopped

LARGEST = 20 << 20
"""Bytes of a recording that is put into a notebook; it is stored there, larger by a third."""


def sentences() -> None:
    """Let a cell that fails by a person's mistake, or is stopped, end with its sentence instead of a traceback.

    The cells behind it are not run, as after any other failure. Raises RuntimeError outside of a notebook.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise RuntimeError("mgc_jax.notebook.sentences() is for notebooks; there is none.")
    shell.set_custom_exc((InputError, Stopped), _say)


def _say(shell: Any, kind: type[BaseException], error: BaseException, traceback: Any, tb_offset: Any = None) -> None:
    """IPython's form of a handler."""
    print(f"mgc-jax: {' '.join(str(error).split())}", file=sys.stderr, flush=True)


def songs(rows: Iterable[Mapping[str, str | Path]]) -> Any:
    """A table of songs, to be shown by a notebook: ``audio`` names the file that is played, all else are columns.

    Rows have the same names. Nothing in a text is taken for HTML; its line breaks are kept.
    """
    from IPython.display import HTML

    rows = list(rows)
    names = [name for name in rows[0] if name != "audio"] if rows else []
    style = "text-align: left; vertical-align: top; white-space: pre-line; padding: 6px 12px"

    def line(cells: Iterable[str], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="{style}">{cell}</{tag}>' for cell in cells) + "</tr>"

    body = [line([_player(Path(row["audio"])), *(html.escape(str(row[name])) for name in names)], "td") for row in rows]
    return HTML(f"<table>{line(['', *map(html.escape, names)], 'th')}{''.join(body)}</table>")


def _player(file: Path) -> str:
    from IPython.display import Audio

    if not file.is_file():
        return "its file is not here"
    if file.stat().st_size > LARGEST:
        return "too large to be played here"
    return Audio(filename=str(file))._repr_html_().strip()
