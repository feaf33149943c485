"""The README is true: every command in it runs, on a tiny generated corpus, and the rest is checked by name."""

import argparse
import contextlib
import csv
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from data_pipeline.sources import manifest, read_corpus, world
from data_pipeline.storage import user_cache
from mgc_jax import cli, recipes
from tests.tiny_bert import save_encoder

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")

TINY = (
    "data.min_genre_tracks=2 data.max_genres=12 audio.seconds=3.0 lyrics.max_tokens=16 model.audio_preset=narrow "
    "model.width=16 model.heads=2 model.gcn_hidden=16 train.epochs=1 train.batch_size=8 "
    "compute.evaluation_batch_size=16"
).split()
COMPILED = "audio.seconds=1.5 model.width=16 model.heads=2 model.gcn_hidden=16 train.batch_size=32".split()
ELSEWHERE = ("--coordinator=", "--processes=", "--process=")  # run by tests/mgc_jax/test_hosts.py
TESTED_IN = {  # commands that need somebody else: a browser, a hub
    "serve": "tests/mgc_jax/test_page.py",
    "push": "tests/mgc_jax/test_hub.py",
    "hf://": "tests/mgc_jax/test_hub.py",
}
LAUNCHERS = ("launch/tpu_pod.sh", "kubectl", "sbatch")  # dry-run by tests/test_launch.py
# What makes a README command small; later arguments win over the command's own.
SMALL = {
    "corpus": ["--tracks", "20", "--seconds", "3"],
    "prepare": ["--workers", "1", *(f"--config.{item}" for item in TINY)],
    "train": [f"--config.{item}" for item in TINY],
    "evaluate": [],
    "predict": [],
    "explain": [],
    "report": [],
    "export": [],
    "reproduce": ["--seeds", "1", *(f"--config.{item}" for item in TINY)],
    "benchmark": ["--rounds", "2", "--steps", "1", "--lyrics", "features", "--config.audio.seconds=1.5"],
    "compile": ["--topology", "v5e:2x2", "--size", "demo", *(f"--config.{item}" for item in COMPILED)],
    "--help": [],
    "scripts/measure_pipeline.py": ["--tracks", "20", "--records", "32"],
    "scripts/measure_ceiling.py": [],
    "scripts/measure_accelerator.py": [
        *"--runs xla_attention rematerialised -- --size demo --rounds 2 --steps 1 --config.audio.seconds=1.5".split(),
        *"--config.lyrics.max_tokens=8 --config.train.batch_size=8 --config.model.width=16".split(),
    ],
}
PRINTS = {
    "scripts/measure_pipeline.py": "tracks/s",
    "scripts/measure_ceiling.py": "| reads only ",
    "scripts/measure_accelerator.py": "| tokens | mgc-jax, stream |",
}


ROWS = {  # of one workdir mostly the same run, which is trained once
    "table1": "full_model",
    "table2": "none",
    "figure2": "lambda_0.3",
    "graph_control": "full_model",
    "recipes": "full_model",
}
LOCAL_BERT = "models/bert-base-uncased"  # the README's name; here a tiny random BERT


class Done(NamedTuple):
    command: str
    code: int
    output: str


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    """The words in backticks that begin a table's rows."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]
OURS = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("mgc-jax ")]
RUN = [arguments for arguments in OURS if not any(word.startswith(tuple(TESTED_IN)) for word in arguments)]


def run(arguments: list[str]) -> Done:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code = cli.main(arguments)
        except SystemExit as end:
            code = end.code or 0
    return Done(shlex.join(["mgc-jax", *arguments]), code, output.getvalue())


def small(arguments: list[str]) -> list[str]:
    extra = SMALL[arguments[0]]
    arguments = [word.replace("gs://", "memory://") for word in arguments if not word.startswith(ELSEWHERE)]
    if arguments[0] == "reproduce":  # one row for each table
        extra = [*extra, "--rows", ROWS[arguments[arguments.index("--sweep") + 1]]]
    if any(word.startswith("--beam=") for word in arguments):  # the processes that it names take their time to start
        extra = [*extra, "--beam=--runner=DirectRunner"]
    if arguments[0] in ("benchmark", "compile"):
        return [*without_torch(arguments), *extra]
    if extra and arguments[0] != "corpus" and not any(a.startswith("--config.lyrics.encoder=") for a in arguments):
        extra = [*extra, f"--config.lyrics.encoder={LOCAL_BERT}"]
    return [*arguments, *extra]


def without_torch(arguments: list[str]) -> list[str]:
    """A race against PyTorch only where it is."""
    here = importlib.util.find_spec("torch") is not None
    return [word for word in arguments if here or word not in ("--against", "torch")]


def make_catalogue(folder: Path, tracks) -> None:
    """A catalogue as the README describes it: a manifest, its files, and a new song."""
    (folder / "audio").mkdir(parents=True)
    (folder / "lyrics").mkdir()
    rows = []
    for track in tracks:
        shutil.copy(track.audio, folder / "audio")
        if track.lyrics_file:
            shutil.copy(track.lyrics_file, folder / "lyrics")
        lyrics = f"lyrics/{track.lyrics_file.name}" if track.lyrics_file else ""
        rows.append((f"audio/{track.audio.name}", ",".join(track.genres), lyrics, track.artist, track.language or ""))
    header = blocks("csv")[0].splitlines()[0].split(",")
    with (folder / "songs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    (folder / "lyrics" / "new_song.txt").write_text("Love on the radio, all night long\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder in which the README's commands find what they name; it is the current one while they run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "configs").symlink_to(ROOT / "configs")
    save_encoder(folder / LOCAL_BERT)
    if importlib.util.find_spec("torch"):
        import torch

        torch.compiler.set_stance("force_eager")  # compiling takes a minute
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(user_cache, "folder", lambda: folder / "cache")
        done = run(["corpus", "--out", "music4all", "--tracks", "70", "--seconds", "3"])
        assert done.code == 0, done.output
        Path("demo").mkdir()
        Path("demo/corpus").symlink_to(folder / "music4all")  # what make demo leaves
        corpus = read_corpus(Path("music4all"))
        make_catalogue(Path("my_music"), corpus.tracks)
        plan = next(plan for plan in world.make_plans(70, 0) if plan.dirt is None)
        shutil.copy(f"music4all/audios/{plan.id}.mp3", "my_music/audio/new_song.mp3")
        yield folder


@pytest.fixture(scope="module")
def done(site) -> list[Done]:
    """Every ``mgc-jax`` command of the README, in its order."""
    here = [arguments for arguments in RUN if arguments[0] != "compile" or importlib.util.find_spec("libtpu")]
    return [run(small(arguments)) for arguments in here]


@pytest.mark.parametrize("line", COMMANDS)
def test_no_command_goes_unchecked(line):
    words = shlex.split(line)
    assert "  " not in line, "one command a line"
    if words[0] == "mgc-jax" and words[1:] not in RUN:
        cli.parser().parse_args(words[1:])
        elsewhere = [file for word, file in TESTED_IN.items() if any(given.startswith(word) for given in words)]
        assert all((ROOT / file).is_file() for file in elsewhere)
    elif words[0] == "mgc-jax":
        assert words[1] in SMALL, f"{words[1]} is not run by this test"
    elif words[0] == "make":
        variables = dict(word.split("=") for word in words[1:] if "=" in word)
        targets = [word for word in words[1:] if "=" not in word]
        assert targets
        for target in targets:
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make has no target {target}"
        for name in variables:
            assert re.search(rf"^{name} \?= ", MAKEFILE, re.MULTILINE), f"make has no variable {name}"
    elif words[:3] == ["python", "-m", "pytest"]:
        assert all((ROOT / file).is_file() for file in words[3:])
    elif words[0] == "python":
        assert words[1] in SMALL, f"{words[1]} is not run by this test"
    elif words[0] in LAUNCHERS:
        (launcher,) = [word for word in words if word.startswith("launch/")]
        assert (ROOT / launcher).is_file()
    elif words[:2] == ["pip", "install"]:
        check_installation(words[2:])
    else:
        assert line == f". {re.search(r'^VENV := (.*)$', MAKEFILE, re.MULTILINE)[1]}/bin/activate", "an unknown command"


def check_installation(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    if words[0] == "-e":
        extras = re.fullmatch(r"\.(?:\[([\w,]+)\])?", words[1])[1]
        assert set(extras.split(",") if extras else ()) <= set(project["optional-dependencies"])
    else:
        assert words[0] == "--no-deps"
        assert f"MINILM := {words[1]}" in MAKEFILE


@pytest.mark.slow
def test_every_command_runs(done):
    failed = [f"{d.command}\n{d.output}" for d in done if d.code != 0]
    assert not failed, "\n".join(failed)


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("python scripts/")])
def test_every_script_runs(line, site, done):
    script, *arguments = shlex.split(line)[1:]
    command = [sys.executable, ROOT / script, *without_torch(arguments), *SMALL[script]]
    ended = subprocess.run(command, cwd=site, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert PRINTS[script] in ended.stdout


@pytest.mark.slow
def test_the_run_leaves_what_the_table_says(site, done):
    names = first_column(section("What a run leaves"))
    assert len(names) > 5
    for name in names:
        assert list((site / "runs" / "mine").glob(name)), name
    for name in ("quarantine.tsv", "report.json"):
        assert f"`{name}`" in section("What gets quarantined")
        assert (site / "data" / "mine" / name).is_file()
    undocumented = {p.name for p in (site / "runs" / "mine").iterdir()} - {name.split("/")[0] for name in names}
    assert not {name for name in undocumented if not name.startswith("events.")}


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(site, done, block):
    if "torch" in block:
        pytest.importorskip("torch")
        pytest.importorskip("transformers")
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(block, "README.md", "exec"), {})
    assert output.getvalue()


def test_the_manifest_example_is_read_whole(tmp_path):
    file = tmp_path / "songs.csv"
    file.write_text(blocks("csv")[0], "utf-8")
    for name in re.findall(r"\b(?:audio|lyrics)/\w+\.\w+", file.read_text("utf-8")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("...")
    corpus = manifest.read(file)
    assert not corpus.rejected
    assert [track.genres for track in corpus.tracks] == [("rock", "indie rock"), ("jazz",), ("hip hop", "rap")]


def test_recipes_and_settings_are_there():
    names = first_column(section("Settings"))
    assert {ROOT / name for name in names} == set((ROOT / "configs").glob("*.py"))
    for text in re.findall(r"--config\.([\w.]+=[^\s`]+)", README.replace("--config.key=value", "")):
        recipes.load(None, [text])


def test_the_parser_has_no_other_commands():
    actions = cli.parser()._actions
    commands = next(action for action in actions if isinstance(action, argparse._SubParsersAction)).choices
    assert set(commands) == {arguments[0] for arguments in OURS} - {"--help"}


def test_the_generated_corpus_is_described():
    rows = re.findall(r"^\| (?:the|both)[^|]*\| ([^|]+) \|$", section("The generated corpus"), re.MULTILINE)
    named = [name for row in rows for name in row.split(", ")]
    assert sorted(named) == sorted(world.ALL_GENRES)
    assert f"Its {len(named)} genre names" in README


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text("utf-8")
    headings = {
        re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif not target.startswith("https://"):
            assert os.path.exists(ROOT / target), target
