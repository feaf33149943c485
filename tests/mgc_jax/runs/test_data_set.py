"""What a run says of its tracks is what the data set says, whatever the recipe asked for."""

import json
import shutil
from pathlib import Path

import pytest

from mgc_jax.cli import main
from tests.support.recipe import CONFIG, TINY

BY_ARTIST = ["--config.data.split=artist", "--config.data.split_seed=3"]


@pytest.fixture(scope="module")
def by_artist(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("by_artist") / "data"
    assert main(["prepare", "--config", CONFIG, *TINY, *BY_ARTIST, "--source", str(corpus), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def trained(by_artist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by a recipe that does not say how the data set was split, and so says another way."""
    workdir = tmp_path_factory.mktemp("trained_by_artist") / "run"
    recipe = [argument for argument in TINY if ".data." not in argument]
    arguments = ["train", "--config", CONFIG, *recipe, "--config.train.epochs=1", "--data", str(by_artist)]
    assert main([*arguments, "--workdir", str(workdir)]) == 0
    return workdir


def test_a_run_and_its_card_tell_the_split_that_was_made(trained: Path, by_artist: Path, tmp_path: Path):
    told = json.loads((trained / "config.json").read_text())["data"]
    assert (told["split"], told["split_seed"], told["min_genre_tracks"]) == ("artist", 3, 3)
    assert main(["evaluate", "--workdir", str(trained), "--data", str(by_artist)]) == 0
    assert json.loads((trained / "evaluation_test.json").read_text())["other_data"] is False
    assert main(["export", "--workdir", str(trained), "--out", str(tmp_path / "model")]) == 0
    card = (tmp_path / "model" / "README.md").read_text()
    assert "artist" in card
    assert "random" not in card


def test_an_evaluation_on_other_tracks_says_so(trained: Path, by_artist: Path, tmp_path: Path, capsys):
    """Of the same genres in the same order: those of another order are another vocabulary, which is refused."""
    file, other = tmp_path / "result.json", Path(shutil.copytree(by_artist, tmp_path / "other"))
    meta = json.loads((other / "dataset.json").read_text())
    meta["options"]["data"]["split_seed"] = 4
    (other / "dataset.json").write_text(json.dumps(meta))
    assert main(["evaluate", "--workdir", str(trained), "--data", str(other), "--json", str(file)]) == 0
    assert json.loads(file.read_text())["other_data"] is True
    assert "was trained on another data set" in capsys.readouterr().out


def test_a_setting_that_contradicts_the_data_set_is_refused(by_artist: Path, tmp_path: Path, capsys):
    arguments = ["train", "--config", CONFIG, *TINY, "--data", str(by_artist), "--workdir", str(tmp_path / "run")]
    assert main([*arguments, "--config.data.split=random"]) == 2
    assert "was prepared with data.split='artist'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
