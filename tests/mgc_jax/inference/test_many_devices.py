"""Many songs on eight devices say what each says window by window, whatever devices there are."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from data_pipeline.audio import AudioSpec
from mgc_jax.inference.tagger import Tagger
from tests.support import plain_prediction, tiny_model

pytestmark = pytest.mark.eight_devices

RATE = 22_050


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    for number, seconds in enumerate((3.0, 9.0, 1.5)):
        noise = np.random.default_rng(number).normal(size=int(seconds * RATE))
        soundfile.write(folder / f"{number}.wav", 0.1 * noise, RATE)
    return sorted(folder.iterdir())


def test_windows_are_shared_by_all_devices(songs, tmp_path):
    model = tiny_model.model(tmp_path / "run")
    assert model.network.mesh.size == 8
    pairs = list(zip(songs, ("dancing all night", None, "la la"), strict=True))
    for (song, words), found in zip(pairs, model.predict_many(pairs), strict=True):
        assert dict(found.ranked) == pytest.approx(plain_prediction.scores(model, song, words), abs=1e-5)
        assert dict(model.predict(song, words).ranked) == pytest.approx(dict(found.ranked), abs=1e-5)
    np.testing.assert_allclose(model.embed_words("la la"), model.embed(songs[2], "la la").lyrics, atol=1e-5)


def test_those_of_a_built_in_model_too(songs):
    seen = []

    def scores(windows):
        seen.append(len(windows.sharding.device_set))
        level = np.abs(np.asarray(windows)).mean(1)
        return np.stack([level, 1 - level], axis=1)

    tagger = Tagger("musicnn", ("loud", "quiet"), AudioSpec(RATE, seconds=2.0), scores, "")
    together = list(tagger.predict_many(songs))
    assert seen == [8]
    assert together == [tagger.predict(song) for song in songs]
