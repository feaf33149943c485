"""Tokenizers that are not BERT's: bytes in pairs, sentencepiece, vocabularies of a quarter of a million."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.lyric_words import find_words
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from tests.support import tiny_tokenizers

MADE = {
    "byte level": tiny_tokenizers.byte_level,
    "byte level, spaces in offsets": lambda: tiny_tokenizers.byte_level(trim=False),
    "sentencepiece": tiny_tokenizers.sentencepiece,
}
WORDS = st.sampled_from(
    "love don't Café straße 愛してる 愛 我爱你 Привет (oh) ... R&B 🎵 e\u0301 #1 it's noche corazón x\u00adz ½".split()
)
SPACES = st.sampled_from([" ", "\n", "  ", "\n\n", "\t", " \u3000"])
TEXTS = st.lists(st.tuples(WORDS, SPACES), max_size=12).map(lambda parts: "".join(a + b for a, b in parts))


@pytest.fixture(scope="module", params=MADE)
def folder(request, tmp_path_factory):
    return tiny_tokenizers.save(MADE[request.param](), tmp_path_factory.mktemp("tokenizer"))


@given(TEXTS)
@settings(max_examples=60)
def test_ids_are_those_of_transformers(folder, text):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    for length in (9, 60):
        wanted = theirs(text, truncation=True, max_length=length, return_offsets_mapping=True)
        pieces = LyricsTokenizer(folder, length).pieces(text)
        assert pieces.ids.tolist() == wanted["input_ids"]
        assert [tuple(span) for span in pieces.spans.tolist()] == wanted["offset_mapping"]
        assert (pieces.ids[0], pieces.ids[-1]) == (0, 2)
        assert pieces.special.tolist() == [True, *[False] * (len(pieces.ids) - 2), True]


@given(TEXTS)
@settings(max_examples=150)
def test_every_piece_belongs_to_the_word_that_it_stands_in(folder, text):
    pieces = LyricsTokenizer(folder, 60).pieces(text)
    words = find_words(text, pieces)
    assert "".join(words.words) == "".join(text.split())
    assert not any(set(word) & set(" \n\t\u3000") for word in words.words)
    for owner, (start, end), special in zip(words.owner, pieces.spans, pieces.special, strict=True):
        own = text[start:end].strip()
        assert (owner >= 0) == (bool(own) and not special)
        if owner >= 0:
            assert words.spans[owner, 0] <= start + len(text[start:end]) - len(text[start:end].lstrip())
            assert own in words.words[owner]
    if len(pieces.ids) < 60:
        assert words.read.all()  # nothing is cut, and nothing dropped


def test_characters_that_share_a_piece_are_one_word(folder):
    pieces = LyricsTokenizer(folder, 60).pieces("愛してる love")
    words = find_words("愛してる love", pieces)
    assert words.words[-1] == "love"
    assert words.read.all()


def test_words_are_hidden_behind_the_mask_and_special_tokens_have_names(folder):
    tokenizer = LyricsTokenizer(folder, 60)
    assert tokenizer.mask_id == 4
    assert tokenizer.special == {name: i for i, name in enumerate(tiny_tokenizers.SPECIAL)}
    assert tokenizer.dtype == np.uint16


def test_a_large_vocabulary_has_wider_ids(tmp_path):
    for size, dtype in ((65536, np.uint16), (65537, np.uint32), (250_002, np.uint32)):
        tokenizer = LyricsTokenizer(tiny_tokenizers.save(tiny_tokenizers.large(size), tmp_path / str(size)), 16)
        ids = tokenizer.encode(f"w7 w{size - 1} unheard")
        assert ids.dtype == dtype == tokenizer.dtype
        assert ids.tolist() == [0, 7, size - 1, 3, 2]
        assert tokenizer.encode_batch(["w9"])[0].dtype == tokenizer.pieces("w9").ids.dtype == dtype
