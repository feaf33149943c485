"""Settings: what a config may hold, and where it comes from."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from data_pipeline import validation
from data_pipeline.errors import InputError
from data_pipeline.prepare.options import DataConfig
from mgc_jax.config import Config, LogConfig, LossConfig, TrainConfig, recipes
from mgc_jax.models.audio_cnn import PRESETS
from mgc_jax.models.config import ModelConfig
from mgc_jax.models.losses import GENRE_LOSSES
from scripts import settings_reference

ROOT = Path(__file__).parents[3]
FIELDS = {
    f"{group}.{field}": annotation
    for group, kind in validation.field_types(Config).items()
    for field, annotation in validation.field_types(kind).items()
}
CHOICES = {name: get_args(annotation) for name, annotation in FIELDS.items() if get_origin(annotation) is Literal}


def with_setting(name: str, value: object) -> Config:
    group, _, field = name.partition(".")
    usual = Config()
    return dataclasses.replace(usual, **{group: dataclasses.replace(getattr(usual, group), **{field: value})})


def test_every_setting_has_a_type():
    assert list(FIELDS) == list(recipes.flat(Config()))
    for name, annotation in FIELDS.items():
        assert settings_reference.allowed(annotation), name


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_one_of_its_own(name: str):
    for refused in ("nonsense", None, 1, True):
        with pytest.raises(InputError, match=f"{name} is .*, but must be one of {', '.join(CHOICES[name])}"):
            with_setting(name, refused)
    assert len(CHOICES[name]) > 1


def test_the_choices_are_those_that_the_models_have():
    assert set(PRESETS) == set(CHOICES["model.audio_preset"])
    assert set(GENRE_LOSSES) == set(CHOICES["loss.kind"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"train": TrainConfig(batch_size=0)}, "train.batch_size is 0, but must be greater than 0."),
        ({"train": TrainConfig(seed="x")}, "train.seed must be a whole number, not 'x'."),
        ({"model": ModelConfig(heads=3)}, "model.width 512 is not a multiple of model.heads 3."),
        ({"model": ModelConfig(dropout=1.0)}, "model.dropout is 1.0, but must lie in [0, 1)."),
        ({"loss": LossConfig(contrastive_weight=1.0)}, "loss.contrastive_weight is 1.0, but must lie in [0, 1)."),
        ({"log": LogConfig(project=" ")}, "log.project is empty, but must be the name of a project."),
    ],
)
def test_a_config_that_cannot_be_is_refused_wherever_it_is_made(change: dict, sentence: str):
    with pytest.raises(InputError) as caught:
        Config(**change)
    assert str(caught.value) == sentence


def test_nobody_changes_a_config_under_the_others():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().train.seed = 1


def test_overrides_come_last_and_are_read_as_python():
    overrides = ["train.epochs=3", "train.learning_rate=1", "data.languages=['en']", "model.genre_bias=false"]
    config = recipes.load("demo", [*overrides, "train.epochs=4", "data.aliases={'hiphop': 'hip hop'}"])
    assert (config.train.epochs, config.train.learning_rate, config.model.genre_bias) == (4, 1.0, False)
    assert type(config.train.learning_rate) is float
    assert (config.data.languages, config.data.aliases) == (("en",), {"hiphop": "hip hop"})
    assert config.audio.seconds == 6.0  # the recipe's


def test_the_base_of_a_recipe_is_another_config():
    base = recipes.changed(Config(), {"train.batch_size": 32, "train.epochs": 9}, origin="here")
    config = recipes.load("demo", base=base)
    assert (config.train.batch_size, config.train.epochs) == (32, recipes.load("demo").train.epochs)
    with pytest.raises(InputError, match=r"^here: there is no setting train\.epoch; did you mean train\.epochs\?"):
        recipes.changed(base, {"train.epoch": 1}, origin="here")


def test_settings_that_only_fit_together_are_changed_together():
    config = recipes.load(None, ["model.heads=3", "model.width=12"])
    assert (config.model.heads, config.model.width) == (3, 12)


@pytest.mark.parametrize("name", [*recipes.names(), "pod:512", "baselines:santana", "music4all:beyond"])
def test_recipes_go_by_name_everywhere_and_their_json_is_read_back_whole(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = recipes.load("baselines:pandeya" if name == "baselines" else name)
    assert config != Config()
    Path("config.json").write_text(json.dumps(recipes.as_json(config), allow_nan=False), "utf-8")
    assert recipes.from_json(Path("config.json")) == config


def test_recipes_go_by_name_where_only_the_wheel_is(tmp_path):
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    for folder in tables["only-include"]:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / "site" / tables["sources"].get(folder, folder), ignore=ignore)
    assert not (tmp_path / "site" / "configs").exists()
    program = "from mgc_jax.config import recipes\nprint(recipes.names(), recipes.load('pod:512').train.batch_size)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{recipes.names()} 512\n", done.stderr


def test_a_recipe_is_named_by_its_file_too(tmp_path, monkeypatch):
    assert recipes.load(str(ROOT / "configs" / "demo.py")) == recipes.load("demo")
    assert recipes.load(f"{ROOT / 'configs' / 'pod.py'}:512").train.batch_size == 512
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("def get_config(): return {'train': {'seed': 7}}", "utf-8")
    Path("demo").mkdir()
    assert recipes.load("mine").train.seed == 7
    assert recipes.load("demo").audio.seconds == 6.0


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("dmeo", "There is no recipe dmeo; did you mean demo?"),
        ("configs/demo.py", "There is no recipe configs/demo.py; did you mean demo?"),
        ("resnet", "There is no recipe resnet; those of the project are baselines, demo, manifest, music4all, pod."),
    ],
)
def test_a_recipe_that_is_not_there_is_one_sentence_with_those_that_are(spec, hint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        recipes.load(spec)
    assert str(caught.value) == hint


def test_a_config_json_lacks_what_came_later_and_holds_nothing_else(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"train": {"seed": 3}}', "utf-8")
    assert recipes.from_json(path) == with_setting("train.seed", 3)
    for text, sentence in (
        ('{"train": {"sede": 3}}', "there is no setting train.sede; did you mean train.seed?"),
        ('{"train": {"seed": 1.5}}', "train.seed must be a whole number, not 1.5."),
        ('{"train": {"seed": -1}}', "train.seed is -1, but must not be negative."),
        ("[]", "it holds no settings"),
        ("{", "cannot be read as a run's configuration"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(InputError) as caught:
            recipes.from_json(path)
        assert str(caught.value).startswith(str(path))
        assert sentence in str(caught.value)


def test_the_first_difference_is_named():
    a, b = Config(), recipes.load(None, ["train.seed=1", "log.project=other"])
    assert recipes.first_difference(a, a) is None
    assert recipes.first_difference(a, b) == "log.project is 'other' and was 'mgc-jax'"
    assert recipes.first_difference(a, b, ignore=["log."]) == "train.seed is 1 and was 0"
    assert recipes.first_difference(a, b, ignore=["log.", "train."]) is None


def test_the_reference_has_every_setting_with_what_it_may_be_and_what_it_means():
    text = settings_reference.reference()
    rows = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines() if line.startswith("| `"))
    assert list(rows) == [f"`{name}`" for name in FIELDS]
    for name, row in rows.items():
        may_be, default, meaning = row.split(" | ")
        assert may_be, name
        assert default, name
        assert meaning.endswith("."), name
    assert rows["`train.batch_size`"] == "int > 0 | `16` | Tracks of a step, over all devices."
    assert rows["`data.fractions`"].startswith("list of 3 float > 0 | `[0.7, 0.1, 0.2]` | ")
    assert rows["`model.dropout`"].startswith("float in [0, 1) | `0.1` | ")
    assert rows["`loss.reduction`"].startswith("`sum`, `mean` | `sum` | ")
    assert f"## data\n\n{DataConfig.__doc__}\n\n| setting" in text


def test_a_name_that_no_file_can_have_is_no_recipe():
    for name in ("x" * (os.pathconf("/", "PC_NAME_MAX") + 1), "a\0b", "", "."):
        with pytest.raises(InputError, match="There is no recipe"):
            recipes.load(name)
