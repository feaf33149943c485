"""What docs/audio-encoders.md shows is done, and what its table says is so."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from mgc_jax.models import audio_spectrogram_transformer as ast
from mgc_jax.models import htsat, mert
from mgc_jax.network import audio_encoders
from tests.support.recipe import ROOT

PAGE = (ROOT / "docs" / "audio-encoders.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


def run(code: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "docs", "exec"), {})
    return output.getvalue()


def test_your_own_encoder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audio_encoders, "ENCODERS", dict(audio_encoders.ENCODERS))
    code = block("python")
    assert code.count("\n") <= 60
    shape, times = run(code).split(" of ")
    assert shape == "(1, 6, 32)"
    assert times.startswith("[[0.0, 0.5], [0.5, 1.0]")


def test_a_pickle_is_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6.0).reshape(2, 3)
    torch.save({"a": tensor, "b": tensor.T}, tmp_path / "pytorch_model.bin")
    monkeypatch.chdir(tmp_path)
    run(block("py"))
    converted = load_file("model.safetensors")
    np.testing.assert_array_equal(converted["b"].T, converted["a"])


def test_the_tables_figures():
    large = htsat.AudioConfig(depths=(2, 2, 12, 2), patch_embeds_hidden_size=128, hidden_size=1024)
    maest = ast.AstConfig(num_mel_bins=96, max_length=1876)
    networks = {
        "AST": (ast.AstConfig(), lambda: ast.AudioSpectrogramTransformer(ast.AstConfig(), 10, rngs=nnx.Rngs(0))),
        "MAEST": (maest, lambda: ast.AudioSpectrogramTransformer(maest, 30, rngs=nnx.Rngs(0))),
        "CLAP": (large, lambda: htsat.AudioTower(large, rngs=nnx.Rngs(0))),
        "MERT": (mert.MertConfig(), lambda: mert.Mert(mert.MertConfig(), rngs=nnx.Rngs(0))),
    }
    for name, (config, make) in networks.items():
        (row,) = re.findall(rf"^\| `[^`]+` \({name}\) \|.*$", PAGE, re.MULTILINE)
        cells = [cell.strip() for cell in row.split("|")]
        weights = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(nnx.eval_shape(make))))
        assert cells[6] == str(config.hidden_size), name
        assert cells[7].startswith(f"{weights / 1e6:.0f} M"), name


def test_what_may_not_be_sold_is_said_aloud():
    for row in re.findall(r"^\| `.*$", PAGE, re.MULTILINE):
        assert ("-NC-" in row) == ("**not for commercial use**" in row)
