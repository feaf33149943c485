"""The model card of an exported model."""

import contextlib
import json
import re
import shutil

import huggingface_hub
import pytest

import mgc_jax
from data_pipeline.storage.json_file import write_json
from mgc_jax.evaluation.results import METRICS
from mgc_jax.export.card import card
from mgc_jax.export.folder import export
from mgc_jax.export.subject import Subject
from tests.support import tiny_model
from tests.support.exported import python

RIVAL = "loss.contrastive_weight=0 model.architecture="


def test_the_card_repeats_the_runs_own_figures(workdir, exported):
    report = json.loads((workdir / "evaluation_test.json").read_text())
    loaded = huggingface_hub.ModelCard.load(exported / "README.md")
    figures = {result.metric_type: result.metric_value for result in loaded.data.eval_results}
    assert figures == {key: pytest.approx(report[key], abs=1e-4) for key in METRICS.values()}
    assert {result.dataset_split for result in loaded.data.eval_results} == {"test"}
    assert (loaded.data.license, loaded.data.library_name) == ("cc-by-4.0", "mgc-jax")
    text = loaded.text
    assert "generated corpus" in text
    assert "nobody made it" in text
    for row in report["genres"]:
        cells = [str(row["support"]), f"{row['average_precision']:.3f}", f"{row['f1']:.3f}", f"{row['threshold']:.3f}"]
        cells.append(f"{row['linear_average_precision']:.3f}")
        name = row["name"].replace("&", "&amp;")
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert line.strip("| ").split(" | ")[2:] == cells
    assert f"{report['trivial']['best_constant']['f1_example']:.3f}" in text
    assert f"test ({report['num_tracks']} tracks)" in text
    assert f" | {report['linear']['map_macro']:.3f} | " in text
    assert "logistic regression on the same features" in text


@pytest.mark.slow
def test_the_cards_code_runs_as_it_stands(exported):
    text = (exported / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    with contextlib.suppress(ImportError):
        import torch  # noqa: F401
        import transformers  # noqa: F401

        python("\n".join(blocks) + "\nassert logits.shape == scores.shape\nmodel.eval()", folder=exported)
        return
    python("\n".join(blocks[:2]), folder=exported)


@pytest.mark.slow
def test_the_card_says_what_was_not_measured(workdir, tmp_path):
    model = mgc_jax.load(workdir)
    report = json.loads((workdir / "evaluation_test.json").read_text())

    def text(name: str, *evaluations: dict) -> str:
        folder = tmp_path / f"run-{name}"
        shutil.copytree(workdir, folder, ignore=shutil.ignore_patterns("checkpoints", "*_test.json", "thresholds.json"))
        for evaluation in evaluations:
            write_json(folder / f"evaluation_{evaluation['split']}.json", evaluation)
        model.folder = type(model.folder)(folder)
        export(model, tmp_path / name)
        return (tmp_path / name / "README.md").read_text()

    never = text("never")
    assert "never evaluated" in never
    assert "model-index" not in never
    assert "0.5 decides" in never
    assert not (tmp_path / "never" / "thresholds.json").exists()
    stale = text("stale", report | {"checkpoint_step": 1})
    assert "Kind of corpus: a generated corpus" in stale
    other = text("other", report | {"other_data": True, "source": "a *manifest*"})
    assert "another data set than the one that it was trained on: test (a \\*manifest\\*)" in other
    assert "Kind of corpus: not known" in other
    assert "nobody made it" not in other
    assert "of another checkpoint" in stale
    assert "never evaluated" in stale
    validation = text("validation", report | {"split": "validation", "source": "<b>a manifest</b>", "lrap": None})
    assert "never evaluated on the test tracks" in validation
    assert "figures there flatter" in validation
    assert "&lt;b&gt;" in validation
    assert "| label ranking average precision | - |" in validation


@pytest.mark.usefixtures("one_block_of_each_kind")
@pytest.mark.parametrize(
    ("variant", "hears", "reads", "pretrained"),
    [("", True, True, True), ("model.fusion=audio", True, False, False), ("model.fusion=lyrics", False, True, True),
     (f"{RIVAL}santana audio.n_mels=80", True, False, False), (f"{RIVAL}pandeya", True, True, False),
     (f"{RIVAL}pandeya model.fusion=audio", True, True, False)],
)  # fmt: skip
def test_the_limits_are_those_of_what_the_model_takes(variant, hears, reads, pretrained, tmp_path):
    text = card(Subject(tiny_model.model(tmp_path / "run", variant), "model", {}, "unknown"))
    assert ("It hears" in text) == hears
    assert ("whole lyrics" in text) == (hears and reads)
    assert ("It reads the first" in text) == reads
    assert ("pretrained on" in text) == pretrained
