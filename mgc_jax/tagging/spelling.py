"""How genres are spelled in tags: models know them in lower case, people write them with capitals."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from data_pipeline.genre_names import key, spaced

_SPELLED = """R&B EDM IDM EBM AOR MPB UK US USA DJ TV NWOBHM OST IDM DnB D'n'B 8-bit 16-bit 'n' a an and de do da du des
of the in y e"""
_WORDS = {word.lower(): word for word in _SPELLED.split()}
_WORD = re.compile(r"r&b|'n'|\d+-bit|[^\W_]+(?:'[^\W_]+)*", re.IGNORECASE)


class Spelling:
    """Names as they are written into tags: by ``aliases`` (key -> spelling), as one of the ``known`` names that has
    capitals, else with capitals, or as they are where ``capitals`` is False.

    >>> spell = Spelling()
    >>> [spell(name) for name in ("hip hop", "r&b", "drum & bass", "rock 'n' roll", "k-pop", "80s", "uk garage")]
    ['Hip Hop', 'R&B', 'Drum & Bass', "Rock 'n' Roll", 'K-Pop', '80s', 'UK Garage']
    """

    def __init__(
        self, aliases: Mapping[str, str] | None = None, known: Iterable[str] = (), *, capitals: bool = True
    ) -> None:
        self._aliases = aliases or {}
        self._known = {spaced(name): name for name in known if name != name.lower()}
        self._capitals = capitals

    def __call__(self, genre: str) -> str:
        """The genre in its spelling."""
        if (alias := self._aliases.get(key(genre))) is not None:
            return alias
        if (known := self._known.get(spaced(genre))) is not None:
            return known
        return _WORD.sub(_capital, genre) if self._capitals and genre == genre.lower() else genre


def _capital(match: re.Match[str]) -> str:
    word = match[0]
    spelled = _WORDS.get(word.lower(), word[0].upper() + word[1:])
    return spelled[0].upper() + spelled[1:] if match.start() == 0 and spelled[0].isalpha() else spelled
