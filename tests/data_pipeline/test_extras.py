"""One sentence for what is not installed, and what each extra is."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from data_pipeline import extras
from data_pipeline.errors import InputError
from data_pipeline.prepare.pipeline import prepare
from mgc_jax.training.loop import train

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("page",), "the extra page (no gradio); pip install 'mgc-jax[page]'."),
        (("torch", "onnx"), "the extras torch and onnx (no gradio); pip install 'mgc-jax[torch,onnx]'."),
    ],
)
def test_what_is_not_installed_is_named_with_its_installation(names, words):
    with pytest.raises(InputError) as caught, extras.needed("serve", *names):
        raise ImportError("no gradio")
    assert str(caught.value) == f"serve needs {words}"


@pytest.mark.parametrize("module", extras.MODULES["train"])
def test_data_sets_are_not_prepared_and_models_not_trained_without_their_extra(module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    for what, begin in (("Training", train), ("Preparing a data set", prepare)):
        with pytest.raises(InputError) as caught:
            begin(None, None, tmp_path)  # before anything is looked at
        assert str(caught.value) == f"{what} needs the extra train (no {module}); pip install 'mgc-jax[train]'."
    assert not list(tmp_path.iterdir())


def test_each_extra_brings_what_is_looked_for():
    owners = packages_distributions()
    also = {"cuda": "jax_cuda12_plugin", "tpu": "libtpu", "mlflow": "mlflow"}  # which packages of these bring
    for extra, modules in extras.MODULES.items():
        named = {re.split(r"[\[<>=;]", line)[0] for line in PROJECT["optional-dependencies"][extra]}
        for module in modules:
            assert {module, *owners.get(module, [])} & {*named, also.get(extra)}, f"{module} of {extra}"
