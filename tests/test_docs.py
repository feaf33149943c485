"""The docs are true: every command of every page is parsed, one of each kind is run, and what pages name is there."""

from __future__ import annotations

import ast
import contextlib
import csv
import functools
import importlib.util
import io
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

import mgc_jax
from data_pipeline.sources import manifest, read_corpus, world
from data_pipeline.storage import user_cache
from mgc_jax.cli import entry
from mgc_jax.config import Config, recipes
from mgc_jax.network import audio_encoders
from scripts import commands_reference, docs_hooks
from tests.support.tiny_bert import save_encoder

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
RECIPES = sorted((ROOT / "configs").glob("*.py"))

LOCAL_BERT = "models/bert-base-uncased"  # the pages' name; here a tiny random BERT
TINY = (
    "data.min_genre_tracks=2 data.max_genres=12 audio.seconds=3.2 lyrics.max_tokens=16 model.audio_preset=narrow "
    "model.width=16 model.heads=2 model.gcn_hidden=16 train.epochs=1 train.batch_size=8 "
    f"compute.evaluation_batch_size=16 lyrics.encoder={LOCAL_BERT}"
).split()
SMALL = [f"--config.{item}" for item in TINY]
SMALL_STEP = (
    "--rounds 2 --steps 1 --config.audio.seconds=1.5 --config.lyrics.max_tokens=8 --config.model.width=16".split()
)
# Commands of the pages that are run, in this order, and what makes them small: later arguments win.
RUN = {
    "mgc-jax corpus --out corpus --tracks 400 --seed 1": ["--tracks", "60", "--seconds", "3"],
    "mgc-jax prepare --config manifest --source my_music/songs.csv --out data/mine": [*SMALL, "--workers=1"],
    "mgc-jax scan my_music --out collection.csv": [],
    "mgc-jax train --config manifest --data data/mine --workdir runs/mine": SMALL,
    "mgc-jax evaluate --workdir runs/mine --data data/mine --split test --json mine.json": [],
    "mgc-jax predict --workdir runs/mine my_music/audio/new_song.mp3 --lyrics my_music/lyrics/new_song.txt": [],
    "mgc-jax predict --workdir musicnn my_music/audio/new_song.mp3": [],
    "mgc-jax explain --workdir runs/mine my_music/audio/new_song.mp3 --lyrics my_music/lyrics/new_song.txt "
    "--out explanation.png": ["--genres", "rock", "--json", "why.json"],
    "mgc-jax report --workdir runs/mine": ["--out", "runs/mine/report.html"],
    "mgc-jax export --workdir runs/mine --out exported --license cc-by-4.0": [],
    "mgc-jax prepare --config manifest --source my_music/songs.csv --out gs://my-bucket/mine": [
        *SMALL,
        "--workers=1",
    ],
    "mgc-jax evaluate --workdir runs/mine --data gs://my-bucket/mine --split test": [],
    "mgc-jax prepare --config demo --source demo/corpus --out demo/artist --config.data.split=artist": [
        *SMALL,
        "--workers=1",
    ],
    "mgc-jax reproduce --sweep recipes --config demo --data demo/artist --workdir demo/tables "
    "--split validation --seeds 3": [*SMALL, "--seeds", "1", "--rows", "full_model"],
}
SCRIPTS = {
    "python scripts/measure_pipeline.py --against torch": ["--tracks", "20", "--records", "32"],
    "python scripts/measure_ceiling.py --corpus demo/corpus --data demo/artist": [],
    "python scripts/measure_lyrics.py my_music/songs.csv": ["--settings", "16", "24/12"],
    "python scripts/measure_catalogue.py my_music/songs.csv --out measured": [
        *("--splits", "1", *SMALL, "--rows", "manifest:small", "manifest:small, the CNN from scratch"),
        "logistic regression, the same features",
    ],
    "python scripts/measure_scale.py scale": ["--rows", "40", "--workers", "1"],
    "python scripts/measure_predict.py my_music/songs.csv --workdir runs/mine": ["--songs", "6", "--workers", "1"],
    "python scripts/measure_similar.py": ["--songs", "100", "200", "--width", "8"],
    "python scripts/measure_serve.py my_music/songs.csv --workdir runs/mine": [
        *("--songs", "4", "--clients", "2", "--seconds", "1"),
    ],
    "python scripts/audio_storage.py": [],
    "python scripts/measure_accelerator.py --out measured": [
        *["--runs", "rematerialised", "--", "--size", "demo", "--config.train.batch_size=8", *SMALL_STEP],
    ],
}
PRINTS = {
    "scripts/measure_pipeline.py": "tracks/s",
    "scripts/measure_ceiling.py": "| reads only ",
    "scripts/measure_lyrics.py": "24/12 C=0.1",
    "scripts/measure_catalogue.py": "| manifest:small, the CNN from scratch |",
    "scripts/measure_predict.py": "the command is",
    "scripts/measure_scale.py": "| decode | ",
    "scripts/measure_similar.py": "| 200 | ",
    "scripts/measure_serve.py": "| twice | ",
    "scripts/audio_storage.py": "| musicnn | 10 x 1706, float16 | 34 | 3.7 |",
    "scripts/measure_accelerator.py": "| features | mgc-jax, stream |",
}
WITH_PYTORCH = (
    "mgc-jax export --workdir runs/mine --out onnx --license cc-by-4.0 --onnx",
    "python integrations/onnx_runner.py onnx my_music/audio/new_song.mp3 --lyrics my_music/lyrics/new_song.txt",
)
ON_OTHER_MACHINES = (  # with a GPU, with idle cores
    "python scripts/measure_first_block.py --out measured",
    "python scripts/measure_first_block.py --out measured --parts cpu",
)
# What other tests run as commands, small: with a browser, a hub, other processes, Beam, PyTorch, the TPU's compiler.
ELSEWHERE = {
    "check": "tests/mgc_jax/cli/test_check.py",
    "benchmark": "tests/mgc_jax/benchmark/test_benchmark.py",
    "compile": "tests/mgc_jax/benchmark/test_topology.py",
    "prepare --beam": "tests/data_pipeline/prepare/test_beam.py",
    "serve": "tests/mgc_jax/web/test_web.py",
    "predict --genres": "tests/mgc_jax/inference/test_zero_shot.py",
    "predict --files-from": "tests/mgc_jax/cli/test_predict.py",
    "predict --manifest": "tests/mgc_jax/cli/test_predict.py",
    "predict --out": "tests/mgc_jax/cli/test_predict.py",
    "predict --retry": "tests/mgc_jax/cli/test_predict.py",
    "embed": "tests/mgc_jax/cli/test_embed.py",
    "similar": "tests/mgc_jax/cli/test_similar.py",
    "export --onnx": "tests/test_docs.py",
    "push": "tests/mgc_jax/runs/test_hub.py",
    "tag": "tests/mgc_jax/cli/test_tag.py",
    "train --profile": "tests/mgc_jax/training/test_profile.py",
    "train --coordinator": "tests/mgc_jax/training/test_hosts.py",
    "train --processes": "tests/mgc_jax/training/test_hosts.py",
    "train --process": "tests/mgc_jax/training/test_hosts.py",
    "launch/tpu_pod.sh": "tests/test_launch.py",
    "kubectl": "tests/test_launch.py",
    "sbatch": "tests/test_launch.py",
}


SERVER = "http://localhost:7860"
"""What needs one is run by tests/mgc_jax/web/test_web.py."""


class Command(NamedTuple):
    """A line of a page, as typed."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """Without the variables that are set for it."""
        return list(itertools.dropwhile(re.compile(r"\w+=").match, shlex.split(self.line)))


def blocks(language: str, page: str | None = None) -> list[str]:
    """The fenced blocks of a language, in all pages or in one."""
    texts = PAGES.values() if page is None else [PAGES[page]]
    return [
        block for text in texts for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def lines(block: str) -> list[str]:
    return re.sub(r" +\\\n *", " ", block).splitlines()


def of_recipes() -> list[Command]:
    """What the recipes' docstrings tell to type."""
    texts = {path.name: ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "" for path in RECIPES}
    typed = {name: [line.strip() for line in text.splitlines()] for name, text in texts.items()}
    return [Command(name, line) for name, found in typed.items() for line in found if line.startswith("mgc-jax ")]


COMMANDS = [Command(page, line) for page in PAGES for block in blocks("sh", page) for line in lines(block)]
COMMANDS += of_recipes()
COMMANDS += [Command("--help", c.epilog.removeprefix("example: ")) for c in commands_reference.commands().values()]
LINES = {command.line for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page}: {command.line}")
def test_every_command_can_be_typed(command, tmp_path, monkeypatch):
    words = command.words
    if words[0] == "mgc-jax":
        monkeypatch.chdir(ROOT)
        parse(words[1:])
    elif words[0] == "make":
        check_make(words[1:])
    elif words[:3] == ["python", "-m", "pytest"]:
        assert all((ROOT / file).is_file() for file in words[3:])
    elif words[0] == "python":
        assert command.line in [*SCRIPTS, *WITH_PYTORCH, *ON_OTHER_MACHINES], f"{words[1]} is not run by this test"
        assert (ROOT / words[1]).is_file()
    elif words[0] in ELSEWHERE:
        (launcher,) = [word for word in words if word.startswith("launch/")]
        assert (ROOT / launcher).is_file()
    elif words[0] == "curl":
        assert command.page == "docs/guides/serving.md"  # all of which tests/mgc_jax/web/test_web.py runs
    elif words[0] == "docker":
        check_image(words[1:])
    elif words[:2] == ["pip", "install"]:
        check_installation(words[2:])
    else:
        venv = re.search(r"^VENV := (.*)$", MAKEFILE, re.MULTILINE)[1]
        assert command.line == f". {venv}/bin/activate", "an unknown command"


def parse(arguments: list[str]) -> None:
    """As the command line does: the arguments, the recipe that is named, and the settings that are changed."""
    if arguments == ["--help"]:
        return
    arguments, overrides = entry._take_overrides(arguments)
    options = entry.parser().parse_args(arguments)
    assert hasattr(options, "config") or not overrides
    recipes.load(getattr(options, "config", None), overrides)


def check_image(words: list[str]) -> None:
    arguments = words[words.index("mgc-jax") + 1 :]
    if words[0] == "build":
        assert (ROOT / words[words.index("-f") + 1]).is_file()
    elif arguments:
        parse(arguments)


def check_make(words: list[str]) -> None:
    targets = [word for word in words if "=" not in word]
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make has no target {target}"
    for name in (word.split("=")[0] for word in words if "=" in word):
        assert re.search(rf"^{name} \?= ", MAKEFILE, re.MULTILINE), f"make has no variable {name}"


def check_installation(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    if words[0] == "-e":
        extras = re.fullmatch(r"\.(?:\[([\w,]+)\])?", words[1])[1]
        assert set(extras.split(",") if extras else ()) <= set(project["optional-dependencies"])
    else:
        assert words[0] == "--no-deps"
        assert f"PRETRAINED := {shlex.join(words[1:])}\n" in MAKEFILE


def kinds(arguments: list[str]) -> set[str]:
    """A command and its options, all settings being one: {"train", "train --data", "train --config.", ...}."""
    options = {re.sub(r"(--config\.).*", r"\1", word.split("=")[0]) for word in arguments if word.startswith("--")}
    return {arguments[0]} | {f"{arguments[0]} {option}" for option in options}


def test_one_of_each_command_and_option_is_run():
    stale = {line for line in [*RUN, *SCRIPTS, *WITH_PYTORCH] if line not in LINES}
    assert not stale, "no page has these any more"
    run = {kind for line, more in RUN.items() for kind in kinds([*shlex.split(line)[1:], *more])}
    ours = [command.words[1:] for command in COMMANDS if command.words[0] == "mgc-jax"]
    typed = {kind for arguments in ours if arguments != ["--help"] for kind in kinds(arguments)}
    assert not {kind for kind in typed - run if kind.split()[0] not in ELSEWHERE and kind not in ELSEWHERE}
    assert all((ROOT / file).is_file() for file in ELSEWHERE.values())
    assert set(commands_reference.commands()) == {kind for kind in typed if " " not in kind}


class Done(NamedTuple):
    command: str
    code: int
    output: str


def run(arguments: list[str]) -> Done:
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            code = entry.main(arguments)
        except SystemExit as end:
            code = end.code or 0
    return Done(shlex.join(["mgc-jax", *arguments]), code, output.getvalue())


def make_catalogue(folder: Path, tracks) -> None:
    """A catalogue as the guide describes it: a manifest, its files, and a new song."""
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
def done(tmp_path_factory) -> list[Done]:
    """The commands of RUN, run in a folder that has what they name; it stays the current one for the tests."""
    folder = tmp_path_factory.mktemp("docs")
    save_encoder(folder / LOCAL_BERT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(user_cache, "folder", lambda: folder / "cache")
        patch.setattr(mgc_jax, "load", functools.cache(mgc_jax.load))  # the examples' model, compiled once
        corpus, *others = [[*shlex.split(line)[1:], *more] for line, more in RUN.items()]
        done = [run(corpus)]
        Path("demo").mkdir()
        Path("demo/corpus").symlink_to(folder / "corpus")  # what make demo leaves
        make_catalogue(Path("my_music"), read_corpus(Path("corpus")).tracks)
        plan = next(plan for plan in world.make_plans(60, 1) if plan.dirt is None)
        shutil.copy(f"corpus/audios/{plan.id}.mp3", "my_music/audio/new_song.mp3")
        done += [run([word.replace("gs://", "memory://") for word in arguments]) for arguments in others]
        sound = [f"corpus/audios/{plan.id}.mp3" for plan in world.make_plans(60, 1) if plan.dirt is None][:12]
        yield [*done, run(["embed", *sound, "--workdir", "runs/mine", "--out", "embeddings", "--workers", "0"])]


@pytest.mark.slow
def test_they_run(done):
    failed = [f"{d.command}\n{d.output}" for d in done if d.code != 0]
    assert not failed, "\n".join(failed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", [line if "pipeline" in line else pytest.param(line, marks=pytest.mark.rare) for line in SCRIPTS]
)
def test_every_script_runs(line, done):
    script, *arguments = shlex.split(line)[1:]
    if importlib.util.find_spec("torch") is None:  # no race
        arguments = [word for word in arguments if word not in ("--against", "torch")]
    command = [sys.executable, ROOT / script, *arguments, *SCRIPTS[line]]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert PRINTS[script] in ended.stdout


@pytest.mark.slow
def test_the_runner_for_onnx_files_says_what_predict_says(done):
    for package in ("torch", "transformers", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    export, runner = (shlex.split(line)[1:] for line in WITH_PYTORCH)
    assert run(export).code == 0
    ended = subprocess.run([sys.executable, ROOT / runner[0], *runner[1:]], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    live = mgc_jax.load("runs/mine").predict(runner[2], Path(runner[4]).read_text())
    lines = [(line[8:], float(line[:5])) for line in ended.stdout.splitlines()]
    assert dict(lines) == pytest.approx(dict(live.ranked), abs=1e-3)  # as printed
    assert {line[8:] for line in ended.stdout.splitlines() if line[6] == "*"} == set(live.predicted)


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [block for block in blocks("python") if SERVER not in block], ids=lambda block: block.split("\n\n")[1][:40]
)
def test_python_runs(done, block, monkeypatch):
    monkeypatch.setattr(audio_encoders, "ENCODERS", dict(audio_encoders.ENCODERS))  # to which a page adds one
    if "torch" in block:
        pytest.importorskip("torch")
        pytest.importorskip("transformers")
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(block, "docs", "exec"), {})
    assert output.getvalue()


@pytest.mark.slow
def test_the_run_leaves_what_the_table_says(done):
    names = [name for name in first_column(section("docs/reference/files.md", "A run")) if name != "profile/"]
    assert len(names) > 5
    for name in names:
        assert list(Path("runs/mine").glob(name)), name
    for name in ("quarantine.tsv", "report.json"):
        assert f"`{name}`" in section("docs/reference/files.md", "What prepare leaves out")
        assert (Path("data/mine") / name).is_file()
    undocumented = {path.name for path in Path("runs/mine").iterdir()} - {name.split("/")[0] for name in names}
    assert not {name for name in undocumented if not name.startswith("events.")}


def section(page: str, title: str) -> str:
    return PAGES[page].split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    """The words in backticks that begin a table's rows."""
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_the_readme_is_a_front_door():
    assert len(PAGES["README.md"].splitlines()) <= 200


@pytest.mark.parametrize("page", [page for page in PAGES if blocks("csv", page)])
def test_the_manifest_example_is_read_whole(page, tmp_path):
    file = tmp_path / "songs.csv"
    file.write_text(blocks("csv", page)[0], "utf-8")
    for name in re.findall(r"\b(?:audio|lyrics)/\w+\.\w+", file.read_text("utf-8")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("...")
    corpus = manifest.read(file)
    assert not corpus.rejected
    assert [track.genres for track in corpus.tracks] == [("rock", "indie rock"), ("jazz",), ("hip hop", "rap")]


def test_recipes_are_told():
    names = first_column(section("docs/guides/training.md", "Recipes"))
    assert sorted(names) == recipes.names()


FILES = ("model.safetensors", "model.stablehlo", "audio.npy", "lyrics.npy")  # and no settings
NEEDS = {"augment.mixup": recipes.load(None, ["lyrics.input=features"])}  # what settings want of others


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_named_are_there(page):
    known = set(recipes.flat(Config()))
    groups = "|".join({name.split(".")[0] for name in known})
    for name, value in re.findall(rf"`((?:{groups})\.\w+)(=[^`\s]+)?`", PAGES[page]):
        if name in FILES:
            continue
        assert name in known
        if value:
            recipes.load(None, [f"{name}{value}"], base=NEEDS.get(name))


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_are_there(page):
    folders = "mgc_jax|data_pipeline|configs|scripts|tests|launch|notebooks|docs|constraints"
    for name in re.findall(rf"`((?:{folders})/[\w./-]*)", PAGES[page]):
        assert (ROOT / name).exists(), name


def test_the_generated_corpus_is_described():
    page = PAGES["docs/results/corpus.md"]
    rows = re.findall(r"^\| (?:the|both)[^|]*\| ([^|]+) \|$", page, re.MULTILINE)
    named = [name for row in rows for name in row.split(", ")]
    assert sorted(named) == sorted(world.ALL_GENRES)
    assert f"Its {len(named)} genre names" in page


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.is_file(), target
        if anchor:
            assert anchor in anchors(path.read_text("utf-8")), target


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


MARKS = sorted({mark for text in PAGES.values() for mark in docs_hooks.MARK.findall(text)})


@pytest.mark.parametrize("mark", MARKS)
def test_what_the_code_knows_is_printed(mark):
    printed = docs_hooks.output(mark)
    if " picture " in mark:
        assert printed.startswith("<svg")
        assert printed.endswith("</svg>")
    else:
        assert re.search(r"^\|.*\|$", printed, re.MULTILINE)
