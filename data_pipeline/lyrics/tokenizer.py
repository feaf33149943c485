"""Text -> word-piece ids of the encoder that will read it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.storage.json_file import read_json

_MASKS = ("[MASK]", "<mask>", "[UNK]", "<unk>", "[PAD]", "<pad>")


class Pieces(NamedTuple):
    """A text as the encoder reads it.

    ``ids`` (n,) of its word pieces, in the tokenizer's dtype; ``spans`` (n, 2), the characters that each stands for;
    ``special`` (n,) bool, those that stand for none: [CLS] and [SEP].
    """

    ids: np.ndarray
    spans: np.ndarray
    special: np.ndarray


class LyricsTokenizer:
    """The word-piece tokenizer of a lyrics encoder, cut at ``max_tokens`` with [CLS] and [SEP] kept, whatever they are
    called there."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        if max_tokens < 3:
            raise InputError(f"max_tokens must be at least 3, not {max_tokens}.")
        self.max_tokens = max_tokens
        self._folder = Path(folder)
        with self._blamed():
            self._tokenizer = _load_tokenizer(self._folder)
            # MiniLM's file fixes both at 128: the data set's own length has to win.
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(max_length=max_tokens)
            self.largest = max(self._tokenizer.get_vocab().values(), default=0)
            """The largest word-piece id."""
        self.dtype = np.dtype(np.uint16 if self.largest < 2**16 else np.uint32)
        """Of the ids: the smallest that holds them all."""

    def encode(self, text: str) -> np.ndarray:
        """Word-piece ids (n,) of one text, n <= max_tokens; raises InputError for a broken tokenizer."""
        with self._blamed():
            return np.array(self._tokenizer.encode(text).ids, self.dtype)

    def pieces(self, text: str) -> Pieces:
        """The word pieces that ``encode`` gives, and where each stands in the text."""
        with self._blamed():
            encoding = self._tokenizer.encode(text)
        spans = np.array(encoding.offsets, np.int64).reshape(-1, 2)
        return Pieces(np.array(encoding.ids, self.dtype), spans, np.array(encoding.special_tokens_mask, bool))

    @property
    def mask_id(self) -> int:
        """The word piece that says that a word is hidden; for a tokenizer without one, the unknown word or padding."""
        known = (self._tokenizer.token_to_id(name) for name in _MASKS)
        return next((id_ for id_ in known if id_ is not None), 0)

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Word-piece ids of every text, as ``encode`` gives them."""
        with self._blamed():
            return [np.array(encoding.ids, self.dtype) for encoding in self._tokenizer.encode_batch(list(texts))]

    @property
    def special(self) -> dict[str, int]:
        """The ids of the tokens that are no words, such as ``[CLS]``."""
        with self._blamed():
            added = self._tokenizer.get_added_tokens_decoder()
            return {token.content: id_ for id_, token in sorted(added.items()) if token.special}

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json`` of the tokenizer as it is used here: cut at ``max_tokens``, not padded."""
        with self._blamed():
            text = self._tokenizer.to_str(pretty=True)
        path.write_text(text, encoding="utf-8")

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """Whatever goes wrong inside is the tokenizer's fault: it raises bare Exception, and panics in Rust."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise InputError(f"The tokenizer in {self._folder} cannot be read or used: {error}.") from error


def _load_tokenizer(folder: Path) -> Any:
    import tokenizers

    if (folder / "tokenizer.json").is_file():
        return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    lowercase = "uncased" in folder.name or not (folder / "tokenizer_config.json").is_file()
    if (folder / "tokenizer_config.json").is_file():
        lowercase = bool(read_json(folder / "tokenizer_config.json").get("do_lower_case", lowercase))
    return tokenizers.BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=lowercase)
