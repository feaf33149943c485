"""The notebooks of notebooks/: as they are committed, and as they run, with small parameters and their outputs read."""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.image
import nbformat
import numpy as np
import pytest
import soundfile
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from sklearn.metrics import average_precision_score

import mgc_jax
from data_pipeline.genres import GenreVocabulary
from mgc_jax.evaluation.scored import StoredScores

ROOT = Path(__file__).parent.parent
NAMES = ("quickstart", "evaluate_checkpoint", "compare_with_pytorch")
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
SMALL = {"TRACKS": 96, "SECONDS": 3.0, "EPOCHS": 2}


def read(name: str) -> Any:
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)


def cell(notebook: Any, name: str) -> Any:
    return next(cell for cell in notebook.cells if cell.id == name)


def assigned(source: str) -> dict[str, Any]:
    """What a cell of parameters assigns."""
    return {
        target.id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def set_parameters(notebook: Any, values: Mapping[str, Any]) -> None:
    """Replace the values of the one cell that is tagged ``parameters``."""
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    defaults = assigned(parameters.source)
    assert values.keys() <= defaults.keys()
    assert all(type(value) is type(defaults[name]) for name, value in values.items())
    parameters.source = "\n".join(f"{name} = {value!r}" for name, value in (defaults | values).items())


def execute(notebook: Any, folder: Path, allow_errors: bool = False) -> Any:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # No hub answers, and PyTorch's threads do not wait for each other on busy cores.
    environment |= {"HF_ENDPOINT": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1"}
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        allow_errors=allow_errors,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env=environment)


def printed(notebook: Any, name: str, stream: str = "stdout") -> str:
    return "".join(o.text for o in cell(notebook, name).outputs if o.output_type == "stream" and o.name == stream)


def shown(notebook: Any, name: str, kind: str) -> list[str]:
    return [o.data[kind] for o in cell(notebook, name).outputs if kind in o.get("data", ())]


def check_pictures(notebook: Any, names: Sequence[str]) -> None:
    """Each of these cells shows pictures, all of them wide enough and not empty."""
    pictures = [(name, shown(notebook, name, "image/png")) for name in names]
    assert all(shown_there for _, shown_there in pictures)
    for name, picture in ((name, picture) for name, shown_there in pictures for picture in shown_there):
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(picture)), format="png")[..., :3]
        height, width = pixels.shape[:2]
        assert width > 600, name
        assert height > 150, name
        inked = (pixels.min(axis=2) < 0.9).mean()
        assert 0.005 < inked < 0.95, name


def check_players(notebook: Any, name: str, seconds: float) -> list[list[str]]:
    """The cells of a table of songs, without the players, which hold real music of that length."""
    (table,) = shown(notebook, name, "text/html")
    rows = [
        re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    ]
    rows = [row for row in rows if row]
    for player, *_ in rows:
        (sound,) = re.findall(r"<audio.*?data:audio/mpeg;base64,([^\"]+)\"", player, re.DOTALL)
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
        assert len(samples) / rate == pytest.approx(seconds, abs=0.2)
        assert np.abs(samples).max() > 0.01
    return [row[1:] for row in rows]


def check_genres(text: str, known: Sequence[str]) -> None:
    """Lines like ``hip hop 0.73``, best first, of genres that are known."""
    answers = [line.rsplit(" ", 1) for line in text.replace("&amp;", "&").splitlines()]
    assert answers
    assert {name for name, _ in answers} <= set(known)
    scores = [float(score) for _, score in answers]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def check_headline(line: str, workdir: Path) -> None:
    """The printed macro-mAP is that of the kept scores, and none of the figures is out of range."""
    figures = re.match(
        r"test macro-mAP (\S+) \(prevalence (\S+), linear (\S+)\), "
        r"example F1 (\S+) \(best constant (\S+), linear (\S+)\), Jaccard (\S+) ",
        line,
    )
    assert figures
    assert all(0 <= float(figure) <= 1 for figure in figures.groups())
    scored = StoredScores.load(workdir / "evaluation_test.npz").scored
    known = scored.labels.any(axis=0)
    assert float(figures[1]) == pytest.approx(
        average_precision_score(scored.labels[:, known], scored.scores[:, known], average="macro"), abs=6e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_is_committed_without_results(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    for one in notebook.cells:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.id), "an id that a tool has made up"
        assert not one.get("outputs")
        assert one.get("execution_count") is None
    assert len({one.id for one in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_opens_in_colab_and_installs_from_the_repository(name):
    notebook = read(name)
    colab = REPOSITORY.replace("https://github.com", "https://colab.research.google.com/github")
    assert notebook.cells[0].cell_type == "markdown"
    assert f"({colab}/blob/main/notebooks/{name}.ipynb)" in notebook.cells[0].source.splitlines()[0]
    assert notebook.cells[1].id == "install"
    assert notebook.cells[1].source.startswith(cell(read("quickstart"), "install").source)
    assert f'"MGC_JAX_REPOSITORY", "{REPOSITORY}"' in notebook.cells[1].source
    pretrained = re.search(r"^PRETRAINED := (.+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert pretrained
    assert f"{pretrained[1]}\n" in notebook.cells[1].source
    for one in notebook.cells:
        for address in re.findall(
            r"https://(?:colab\.research\.google\.com/)?github(?:\.com)?/[\w-]+/[\w-]+", one.source
        ):
            assert address in (REPOSITORY, colab)
        for linked in re.findall(rf"{REPOSITORY}/blob/main/([\w/.]+)", one.source):
            assert (ROOT / linked).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_all_that_a_person_changes_is_a_form_field(name):
    notebook = read(name)
    (parameters,) = (one for one in notebook.cells if "parameters" in one.metadata.get("tags", ()))
    lists = [
        line for line in parameters.source.splitlines() if not re.search(r"# @param (\{type:\"\w+\"\}|\[.*\])$", line)
    ]
    assert all(isinstance(value, list) for value in assigned("\n".join(lists)).values())  # Colab has no field for these


def test_the_example_is_the_demo():
    from mgc_jax import example_run
    from mgc_jax.config import recipes

    demo = recipes.load("demo")
    example = example_run.settings(2000, 6.0, demo.train.epochs)
    assert recipes.first_difference(demo, example, ignore=["train.halve_every_epochs"]) is None


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The quickstart as it ran, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("quickstart")
    notebook = read("quickstart")
    set_parameters(notebook, SMALL)
    own, song = cell(notebook, "own"), folder / "my song.wav"
    assert own.source.startswith('SONG = ""  # @param')
    own.source = own.source.replace('SONG = ""', f"SONG = {str(song)!r}", 1)
    rng = np.random.default_rng(0)
    soundfile.write(song, 0.1 * rng.standard_normal(7 * 16000), 16000)  # longer than two clips
    return execute(notebook, folder), folder


@pytest.mark.slow
def test_quickstart(quickstart):
    notebook, folder = quickstart
    run = folder / "quickstart" / "run"
    names = GenreVocabulary.load(run / "genres.json").names
    assert re.search(r"\d+ songs, \d+ rows", printed(notebook, "corpus"))
    assert re.search(r"songs: \d+ train, \d+ validation, \d+ test", printed(notebook, "prepare"))
    heard = check_players(notebook, "listen", 3)
    assert len(heard) >= 2
    assert all(len(lyrics) > 20 for _, _, lyrics in heard)
    check_pictures(notebook, ("mel", "curves", "explain", "own"))
    assert "example F1" in printed(notebook, "train", "stderr")  # the bar's lines
    assert "trained" in printed(notebook, "train")
    check_headline(printed(notebook, "evaluate").splitlines()[0], run)
    assert set(names) == set(
        re.findall(r"^(\S.*?)  +\d+ .*\d$", printed(notebook, "evaluate").split("genre  ")[1], re.M)
    )
    songs = check_players(notebook, "predict", 3)
    assert len(songs) == 3
    for labels, predicted, sound_alone in songs:
        assert labels
        check_genres(predicted, names)
        check_genres(sound_alone, names)
    (own,) = shown(notebook, "own", "text/html")
    assert "data:audio/" in own
    musicnn, trained = re.findall(r"<td[^>]*>(.*?)</td>", own, re.DOTALL)[1:]
    check_genres(musicnn, mgc_jax.load("musicnn").genres)
    check_genres(trained, names)


@pytest.mark.slow
@pytest.mark.parametrize("example", ["left by the quickstart", pytest.param("its own", marks=pytest.mark.rare)])
def test_evaluate_checkpoint(example, request, tmp_path):
    notebook = read("evaluate_checkpoint")
    set_parameters(notebook, SMALL)
    folder = tmp_path if example == "its own" else request.getfixturevalue("quickstart")[1]
    execute(notebook, folder)
    run = folder / "quickstart" / "run"
    names = GenreVocabulary.load(run / "genres.json").names
    assert f"{len(names)} genres; " in printed(notebook, "load")
    check_headline(printed(notebook, "metrics").splitlines()[0], run)
    for words in ("trivial", "calibrated", "ROC-AUC macro", *names):
        assert words in printed(notebook, "metrics")
    check_pictures(notebook, ("genres", "thresholds", "reliability", "curves", "map", "confusions", "retrieval"))
    songs = check_players(notebook, "songs", 3)
    assert len(songs) == 6
    entropies = [float(row[-1]) for row in songs]
    assert entropies == sorted(entropies)
    for _, labels, predicted, _ in songs:
        assert set(labels.replace("&amp;", "&").splitlines()) <= set(names)
        if predicted != "none over its threshold":
            check_genres(predicted, names)


@pytest.mark.slow
def test_compare_with_pytorch(quickstart):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    _, folder = quickstart
    notebook = read("compare_with_pytorch")
    race = ["train.batch_size=4", "audio.seconds=2.0", "lyrics.max_tokens=16", "model.width=32"]
    set_parameters(notebook, {**SMALL, "ROUNDS": 2, "STEPS": 1, "RACE_SETTINGS": race})
    execute(notebook, folder)
    assert "resuming after step" in printed(notebook, "load")  # the quickstart's run, not a new one
    counts = re.findall(r"([\d,]+) trained weights", printed(notebook, "convert"))
    assert len(counts) == 2
    assert counts[0] == counts[1]
    assert float(printed(notebook, "logits").split("max abs difference ")[1]) < 1e-4
    low, high = re.search(r"logits from (\S+) to (\S+)", printed(notebook, "logits")).groups()
    assert float(high) - float(low) > 1
    same, arrays = map(int, re.match(r"(\d+) of (\d+) arrays", printed(notebook, "back")).groups())
    assert same == arrays > 30
    rates = dict(re.findall(r"^(\S.*?)  +(\d+) tracks/s", printed(notebook, "race"), re.M))
    rivals = ["PyTorch, same work", "PyTorch, same work, split on the device", "PyTorch, as a user would"]
    assert list(rates) == ["mgc-jax, stream", "mgc-jax, device", *rivals]
    assert all(int(rate) > 0 for rate in rates.values())
    check_pictures(notebook, ("logits-plot", "race-plot"))


@pytest.mark.slow
def test_a_mistake_is_one_sentence(run, data, tmp_path):
    """The committed cells that load a run, given what is wrong."""
    other_version = tmp_path / "other_version"
    other_genres = tmp_path / "other_genres"
    shutil.copytree(run, other_version)
    config = json.loads((other_version / "config.json").read_text("utf-8"))
    config["model"]["warp"] = 9
    (other_version / "config.json").write_text(json.dumps(config), "utf-8")
    shutil.copytree(data, other_genres)
    genres = (other_genres / "genres.json").read_text("utf-8")
    (other_genres / "genres.json").write_text(genres.replace('"rock"', '"polka"'), "utf-8")
    wrong = {
        "The model's address is empty": ("", data),
        "The data set's address is empty": (run, ""),
        "RUN and DATA belong together": ("example", data),
        "There is no folder nowhere": ("nowhere", data),
        "There is no prepared data set in nowhere": (run, "nowhere"),
        "holds no run": (data, data),
        "there is no setting model.warp": (other_version, data),
        "has another genre vocabulary": (run, other_genres),
        "hf://nobody/nothing": ("hf://nobody/nothing", data),  # nothing listens at the hub's address
    }
    notebook = read("evaluate_checkpoint")
    setup = [cell(notebook, name) for name in ("install", "parameters", "imports")]
    work = cell(notebook, "load").source + "\n" + cell(notebook, "metrics").source
    sources = {
        sentence: f"RUN, DATA = {str(place)!r}, {str(songs)!r}\n{work}" for sentence, (place, songs) in wrong.items()
    }
    (tmp_path / "page.mp3").write_text("<html>404</html>", "utf-8")
    sources["page.mp3: not audio"] = f"model = mgc_jax.load({str(run)!r})\nmodel.predict('page.mp3')"
    sources["lyrics are larger than 1 MiB"] = "model.predict('page.mp3', 'la la ' * 7_000_000)"
    attempts = [nbformat.v4.new_code_cell(source) for source in sources.values()]
    notebook.cells = [*setup, *attempts]
    execute(notebook, tmp_path, allow_errors=True)
    for sentence, attempt in zip(sources, attempts, strict=True):
        assert not [output for output in attempt.outputs if output.output_type == "error"], sentence
        said = "".join(o.text for o in attempt.outputs if o.output_type == "stream" and o.name == "stderr")
        (line,) = [line for line in said.splitlines() if line.startswith("mgc-jax: ")]
        assert sentence in line
        assert "Traceback" not in said
        assert len(line) < 600


@pytest.mark.slow
def test_a_mistake_ends_the_notebook_but_other_errors_keep_their_traceback(tmp_path):
    def cells(*sources: str) -> Any:
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
        return notebook

    start = "import mgc_jax\nfrom mgc_jax import notebook\nnotebook.sentences()"
    stopped = cells(start, "mgc_jax.load('')", "print('went on')")
    with pytest.raises(CellExecutionError):
        execute(stopped, tmp_path)
    assert not stopped.cells[2].outputs
    failing = cells(start, "1 / 0", "print('went on')")
    execute(failing, tmp_path, allow_errors=True)
    assert [output.ename for output in failing.cells[1].outputs] == ["ZeroDivisionError"]
