"""The pretrained audio encoders are found and checked; checkpoints of TensorFlow are read, and broken ones refused."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_pipeline.errors import InputError
from mgc_jax.models import musicnn
from mgc_jax.network import audio_encoders, tf_checkpoint
from mgc_jax.network.audio_encoders import MUSICNN_SHA256, audio_encoder

SPEC = importlib.util.find_spec("musicnn")
pytestmark = pytest.mark.skipif(SPEC is None, reason="musicnn is not installed")
INDEX, DATA = MUSICNN_SHA256


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The package's folder, as a copy that may be broken."""
    folder = tmp_path / "musicnn"
    shutil.copytree(Path(SPEC.origin).parent / "MSD_musicnn", folder / "MSD_musicnn")
    spec = importlib.util.spec_from_file_location("musicnn", folder / "__init__.py")
    monkeypatch.setattr(audio_encoders.importlib.util, "find_spec", lambda name: spec)
    return folder / "MSD_musicnn"


def test_musicnn_is_found_checked_and_read(package):
    encoder = audio_encoder("musicnn")
    assert (encoder.name, encoder.rate, encoder.width, encoder.licence) == ("musicnn", 16000, 1706, "ISC")
    assert encoder.digest == MUSICNN_SHA256[DATA]


def test_an_encoder_that_nobody_knows():
    with pytest.raises(InputError, match=r"^There is no audio encoder 'vggish'; there are: musicnn"):
        audio_encoder("vggish")


def test_a_package_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(audio_encoders.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"not installed; run: pip install --no-deps musicnn==0.1.0$"):
        audio_encoder("musicnn")


@pytest.mark.parametrize("name", [INDEX, DATA])
def test_a_package_without_a_file(package, name):
    (package / name).unlink()
    with pytest.raises(InputError, match=r"has no .*; run: pip install --no-deps musicnn==0.1.0 --force-reinstall$"):
        audio_encoder("musicnn")


@pytest.mark.parametrize("name", [INDEX, DATA])
def test_a_package_with_other_weights(package, name):
    whole = (package / name).read_bytes()
    (package / name).write_bytes(whole[:99] + b"x" + whole[100:])
    with pytest.raises(InputError, match=r"is not the expected MSD_musicnn \(sha256 differs\); run: pip"):
        audio_encoder("musicnn")


def test_a_checkpoint_has_every_weight_and_the_optimisers(package):
    tensors = tf_checkpoint.read(package / INDEX, package / DATA)
    assert musicnn.read_weights(tensors).keys() == musicnn.WEIGHTS.keys()
    assert "conv2d/kernel/Adam" in tensors
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())


def test_a_checkpoint_that_is_not_there(package):
    with pytest.raises(InputError, match=r"gone cannot be opened: No such file or directory\."):
        tf_checkpoint.read(package / INDEX, package / "gone")


@pytest.mark.parametrize("size", [0, 1, 47, 48, 2000, 4947])
def test_an_index_that_ends_early(package, size):
    (package / INDEX).write_bytes((package / INDEX).read_bytes()[:size])
    with pytest.raises(InputError, match=r"are no whole TensorFlow checkpoint \(its end is missing\)\.$"):
        tf_checkpoint.read(package / INDEX, package / DATA)


@pytest.mark.parametrize("size", [0, 3, 9_465_595])
def test_tensors_that_end_early(package, size):
    (package / DATA).write_bytes((package / DATA).read_bytes()[:size])
    with pytest.raises(InputError, match=r"are no whole TensorFlow checkpoint \(.+\)\.$"):
        tf_checkpoint.read(package / INDEX, package / DATA)


def test_an_index_with_a_wrong_byte_is_read_or_refused(package):
    whole = (package / INDEX).read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for place in random.choice(len(whole), 400, replace=False):
        (package / INDEX).write_bytes(whole[:place] + bytes([random.integers(256)]) + whole[place + 1 :])
        try:
            tf_checkpoint.read(package / INDEX, package / DATA)
        except InputError:
            refused += 1
    assert refused > 50
