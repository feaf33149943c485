"""Lyrics longer than their encoder reads, and an encoder of many words: the same in prepare, model and program."""

import dataclasses
import json
import string

import jax
import jax.export
import numpy as np
import pytest

from data_pipeline.errors import InputError
from data_pipeline.lyrics.tokenizer import LyricsTokenizer
from data_pipeline.prepare.pipeline import prepare
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.config import Config, recipes
from mgc_jax.evaluation.evaluate import check_prepared_for
from mgc_jax.export.program import program
from mgc_jax.network import build
from tests.support import music, tiny_model, tiny_tokenizers
from tests.support.tiny_bert import save_encoder, save_xlm_roberta

WORDS = 70_001


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_xlm_roberta(tmp_path_factory.mktemp("xlm-roberta"), WORDS)


def config(encoder, **lyrics) -> Config:
    return recipes.load(None, [f"lyrics.encoder={encoder}", *(f"lyrics.{name}={x}" for name, x in lyrics.items())])


def text(song: int, words: int) -> str:
    return " ".join(f"w{WORDS - 1 - song * 100 - i}" for i in range(words))


def test_features_of_long_lyrics_are_stored_as_the_model_would_make_them(encoder, tmp_path):
    corpus = music.corpus(tmp_path / "corpus", 60)
    songs = [
        dataclasses.replace(track, lyrics_file=None, lyrics_text=text(i, i % 50) if i % 6 else None)
        for i, track in enumerate(corpus.tracks)
    ]
    settings = config(encoder, max_tokens=40, window=12, input="features")
    options = dataclasses.replace(music.options(), lyrics=settings.lyrics)
    prepare(
        dataclasses.replace(corpus, tracks=tuple(songs)),
        tmp_path / "out",
        options,
        encode=build.lyrics_encoder(settings),
    )
    data = PreparedData(tmp_path / "out")
    assert (data.max_tokens, data.lyrics_window) == (40, 12)
    assert data.meta["lyrics"]["dtype"] == "uint32"
    batch = data.whole("train", multiple=1)
    tokenizer, texts = LyricsTokenizer(encoder, 40), {track.id: track.lyrics_text for track in songs}
    bert = build.pretrained_bert(encoder, settings)
    lengths = set()
    assert batch["tokens"].dtype == np.int32
    for id_, tokens, number, stored in zip(
        data.track_ids("train"), batch["tokens"], batch["num_tokens"], batch["lyrics_features"], strict=True
    ):
        wanted = tokenizer.encode(texts[id_]) if texts[id_] else np.zeros(0, np.int32)
        assert tokens[:number].tolist() == wanted.tolist()
        assert not tokens[number:].any()
        assert not stored[number:].any()
        lengths.add(int(number))
        if number:
            alone = bert(tokens[None], np.arange(40)[None] < number)[0]
            np.testing.assert_allclose(stored[:number], alone[:number], rtol=2e-3, atol=2e-3)
    assert min(lengths) == 0
    assert max(lengths) == 40
    assert batch["tokens"].max() > 2**16
    check_prepared_for(dataclasses.replace(settings, audio=data.audio), data)
    with pytest.raises(InputError, match=r"was prepared with lyrics.window=12, but the settings want 0"):
        check_prepared_for(
            dataclasses.replace(settings, audio=data.audio, lyrics=dataclasses.replace(settings.lyrics, window=0)), data
        )


def test_a_data_set_from_before_there_were_windows_is_read(tmp_path):
    prepare(music.corpus(tmp_path / "corpus", 60), tmp_path / "out", music.options())
    file = tmp_path / "out" / "dataset.json"
    meta = json.loads(file.read_text())
    assert meta["lyrics"]["dtype"] == "uint16"
    before = PreparedData(tmp_path / "out").whole("train", multiple=1)
    del meta["lyrics"]["dtype"], meta["lyrics"]["window"]
    file.write_text(json.dumps(meta))
    again = PreparedData(tmp_path / "out")
    assert again.lyrics_window == 0
    np.testing.assert_array_equal(again.whole("train", multiple=1)["tokens"], before["tokens"])
    for broken in ("int64", 7, None, ["uint16"]):
        file.write_text(json.dumps(meta | {"lyrics": meta["lyrics"] | {"dtype": broken}}))
        with pytest.raises(InputError, match="tokens cannot be"):
            PreparedData(tmp_path / "out")


def test_the_exported_program_reads_windows(tmp_path):
    model = tiny_model.model(tmp_path / "run", "lyrics.max_tokens=33 lyrics.window=11")
    given = tiny_model.batch(model, 5)
    assert given["num_tokens"].max() > 19  # more than the encoder has positions
    exported = jax.export.deserialize(bytearray(program(model)))
    _, logits = exported.call(*given.values())
    np.testing.assert_allclose(logits, tiny_model.logits(model, given), atol=1e-4)


def test_what_does_not_fit_is_said(encoder, tmp_path):
    with pytest.raises(InputError, match=r"lyrics.window is 5, but must be 0 or at least 8"):
        config(encoder, window=5)
    for settings, sentence in (
        ({"max_tokens": 18}, r"reads 17 at most; lyrics.window lets it read longer lyrics"),
        ({"max_tokens": 18, "window": 18}, r"lyrics.window is 18, but the lyrics encoder in .* reads 17 at most"),
    ):
        with pytest.raises(InputError, match=sentence):
            build.pretrained_bert(encoder, config(encoder, **settings))
    bare = save_encoder(tmp_path / "bare")
    tokenizer = tiny_tokenizers.large(50)
    tokenizer.post_processor = None
    tiny_tokenizers.save(tokenizer, bare)
    with pytest.raises(InputError, match="puts no token before and behind the words"):
        build.pretrained_bert(bare, config(bare, max_tokens=30, window=10))


def test_an_explanation_tells_of_words_beyond_the_encoders_length(tmp_path):
    model = tiny_model.model(tmp_path / "run", "lyrics.max_tokens=33 lyrics.window=11")
    rate = model.config.audio.sample_rate
    song = np.random.default_rng(0).normal(size=int(2.3 * rate)).astype(np.float32) * 0.1
    words = [string.ascii_lowercase[i % 26] for i in range(40)]
    explained = model.explain(song, " ".join(words), rate=rate, genres=["rock"])
    assert explained.words.words == tuple(words)
    assert explained.words.read.tolist() == [True] * 31 + [False] * 9
    effects = explained.word_effect[:31, 0]
    assert np.isfinite(effects).all()
    assert np.abs(effects[20:]).max() > 0
    # The last word that is read, asked about without the explainer.
    clip = next(iter(model.clips(song, rate)))[1]
    tokens = np.zeros((2, 33), np.int32)
    tokens[:] = model.tokens(" ".join(words))
    tokens[1, 31] = model.tokenizer.mask_id
    given = {"spectrogram": np.stack([clip, clip]), "tokens": tokens, "num_tokens": np.full(2, 33, np.int32)}
    both, without = tiny_model.logits(model, given)[:, 0]
    assert explained.logits[0] == pytest.approx(both, abs=1e-4)
    assert effects[30] == pytest.approx(both - without, abs=1e-4)
