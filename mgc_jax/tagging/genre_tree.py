"""A tree of genres in the format of beets' ``genres-tree.yaml``: lists of names, and of names with a list below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.genre_names import key, spaced


class GenreTree:
    """Which genre is below which. One genre may stand in several places; the first one counts."""

    def __init__(self, branches: Any) -> None:
        self._above: dict[str, tuple[str, ...]] = {}
        for path in _paths(branches, ()):
            self._above.setdefault(spaced(path[0]), path)

    def line(self, genre: str) -> tuple[str, ...]:
        """The genre and those above it, up to the root; itself alone where the tree does not have it.

        >>> GenreTree([{"rock": ["punk", {"metal": ["doom metal"]}]}]).line("Doom Metal")
        ('doom metal', 'metal', 'rock')
        """
        return self._above.get(spaced(genre), (genre,))

    def __len__(self) -> int:
        return len(self._above)


def read_tree(path: Path) -> GenreTree:
    """The tree in a YAML file; raises InputError where there is none in it."""
    content = read_yaml(path)
    try:
        tree = GenreTree(content)
    except (TypeError, RecursionError):
        tree = GenreTree([])
    if not len(tree):
        raise InputError(f"{path} is no tree of genres: lists of names, and of names with a list below, in YAML.")
    return tree


def read_names(path: Path) -> list[str]:
    """The names in a text file, one a line; lines that begin with ``#`` are none."""
    lines = [line.strip() for line in _text(path).splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise InputError(f"{path} has no genres: write one a line.")
    return names


def read_aliases(path: Path) -> Mapping[str, str]:
    """Spellings by the key of what is meant, from a YAML or JSON file such as ``hip hop: Hip-Hop``."""
    content = read_yaml(path)
    if not isinstance(content, dict) or not all(
        isinstance(x, str) and x.strip() for pair in content.items() for x in pair
    ):
        raise InputError(f"{path} has no aliases: write lines such as 'hip hop: Hip-Hop', in YAML.")
    return {key(name): spelling.strip() for name, spelling in content.items()}


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; raises InputError where it is none."""
    import yaml

    try:
        return yaml.safe_load(_text(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no YAML ({' '.join(str(error).split()):.120}).") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise InputError(f"{path} is not UTF-8.") from None


def _paths(branches: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Each genre with those above it."""
    if isinstance(branches, dict):
        for name, below in branches.items():
            yield (str(name), *above)
            yield from _paths(below, (str(name), *above))
    elif isinstance(branches, list):
        for branch in branches:
            yield from _paths(branch, above)
    elif isinstance(branches, str | int | float):
        yield (str(branches), *above)
    elif branches is not None:
        raise TypeError
