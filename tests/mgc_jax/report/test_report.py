"""The page about a run, opened in a real browser with no network; and what it says where something is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine
from playwright.sync_api import Page

from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.config import recipes
from mgc_jax.plots import charts
from mgc_jax.report.inputs import Inputs
from mgc_jax.report.mistakes import locate
from mgc_jax.report.render import _facts
from mgc_jax.runs.workdir import Workdir
from tests.support.browser import problems

SECTIONS = (
    *(
        "results",
        "training",
        "genres",
        "precision",
        "calibration",
        "maps",
        "confusions",
        "retrieval",
        "songs",
        "mistakes",
    ),
    *("explained", "data", "settings", "files"),
)
CHARTS = 8
BROKEN_LOG = b'{"step": 5, "train/loss": 1}\n[1]\n\xff\n{"step": 1e999}\n{"st'
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def evaluated(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workdir with an evaluation of the test split."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("report") / "run")
    assert main(["evaluate", "--workdir", str(folder), "--data", str(data)]) == 0
    return folder


@pytest.fixture
def workdir(evaluated: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(evaluated, tmp_path / "run")


def report(workdir: Path, *arguments: str) -> str:
    assert main(["report", "--workdir", str(workdir), *arguments]) == 0
    return (workdir / "report.html").read_text("utf-8")


def opened(page: Page, file: Path) -> list[str]:
    """Open the page with the network cut off; what goes wrong or is asked for besides the file itself."""
    asked: list[str] = problems(page)
    page.on("request", lambda request: asked.append(request.url) if request.url[:5] not in ("file:", "data:") else None)
    page.on("dialog", lambda dialog: (asked.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    page.route("**/*", lambda route: route.continue_() if route.request.url == file.as_uri() else route.abort())
    page.goto(file.as_uri())
    return asked


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "ru: audio CNN paper, fusion scma, head graph"),
        (["audio.input=features", "model.wide=0.8"], "ru: audio musicnn, fusion scma, head graph, wide path 0.8"),
    ],
)
def test_the_model_is_told_by_what_it_hears(run: Path, settings: list[str], said: str):
    of_run = Workdir(run)
    config = recipes.load("music4all", ["audio.sample_rate=16000", *settings])
    read = Inputs(of_run, "test", config, of_run.vocabulary(), [], None, None, None)
    assert dict(_facts(read))["Model"] == said


def test_the_page_stands_alone_in_a_browser(evaluated: Path, page: Page, tmp_path: Path):
    out = tmp_path / "page.html"
    assert main(["report", "--workdir", str(evaluated), "--out", str(out)]) == 0
    asked = opened(page, out)
    for section in SECTIONS:
        box = page.locator(f"#{section}").bounding_box()
        assert box is not None, section
        assert box["height"] > 40, section
        assert page.locator(f"nav a[href='#{section}']").count() == 1
    sizes = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.alt.length])")
    explained = page.locator("#explained .song").count()
    assert 2 <= explained <= 3
    looks = page.locator("#explained summary", has_text="attention").count()
    assert looks == page.locator("#explained small", has_text="with lyrics").count() > 0
    assert len(sizes) == CHARTS + explained + looks
    assert all(wide > 500 and high > 100 and alt > 10 for wide, high, alt in sizes)
    page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.duration > 0 || a.error)")
    durations = page.evaluate("[...document.querySelectorAll('audio')].map(a => a.error ? -1 : a.duration)")
    assert len(durations) == page.locator(".song").count() == explained + page.locator("#mistakes .song").count()
    assert all(2.5 < seconds < 10.5 for seconds in durations)  # the corpus's tracks last 3 s
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    assert page.locator(".note").count() == 0
    assert asked == []


def test_the_page_shows_the_evaluations_figures(evaluated: Path, page: Page):
    html = report(evaluated, "--no-audio")
    stored = json.loads((evaluated / "evaluation_test.json").read_text())
    opened(page, evaluated / "report.html")
    cells = page.locator("#results tr").evaluate_all("rows => rows.map(r => [...r.cells].map(c => c.innerText))")
    rows = {name: rest for name, *rest in cells}
    floor = stored["trivial"]["prevalence"]["map_macro"]
    assert rows["mAP, macro"] == [
        f"{stored['map_macro']:.3f}",
        "",
        "",
        f"{stored['linear']['map_macro']:.3f}",
        f"{floor:.3f}",
    ]
    constant = stored["trivial"]["best_constant"]
    ways = (stored, stored["argmax_fallback"], stored["at_half"], stored["linear"], constant)
    assert rows["F1, by track"] == [f"{way['f1_example']:.3f}" for way in ways]
    assert "logistic regression" in page.locator("#results strong").inner_text()
    first = (("map_macro", "mAP, macro"), ("f1_example", "F1, by track"), ("jaccard", "Jaccard index"))
    shown = page.locator(".headline div").all_inner_texts()
    assert [text.split("\n")[0] for text in shown] == [f"{stored[key]:.3f}" for key, _ in first]
    assert all(name in text for (_, name), text in zip(first, shown, strict=True))
    assert f"{stored['retrieval']['lyrics_to_audio']['candidates']} tracks with lyrics" in html
    assert f"{stored['parameters']['trainable']:,} trained" in html
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


def test_the_worst_mistakes_are_the_tracks_with_the_highest_cross_entropy(evaluated: Path, data: Path, page: Page):
    report(evaluated, "--no-audio")
    opened(page, evaluated / "report.html")
    with np.load(evaluated / "evaluation_test.npz") as kept:
        order = np.argsort(-kept["bce"], kind="stable")
        labels, names = kept["labels"], kept["genres"]
    table = [line.split("\t") for line in (data / "tracks.tsv").read_text("utf-8").splitlines()]
    ids = [row[2] for row in table if row[0] == "test"]
    shown = page.locator("#mistakes small").all_inner_texts()
    assert [text.split(" ")[0] for text in shown] == [ids[i] for i in order[: len(shown)]]
    chips = page.locator("#mistakes .song").first.locator(".genres > div").first.locator(".chip").all_inner_texts()
    assert len(chips) == labels[order[0]].sum()
    assert all(any(name in chip for name in names[labels[order[0]] > 0]) for chip in chips)
    assert page.locator("audio").count() == 0
    for section in ("#mistakes", "#explained"):
        assert "--no-audio" in page.locator(section).inner_text()


def test_names_from_files_are_text_and_nothing_else(workdir: Path, data: Path, page: Page, tmp_path: Path):
    copy = shutil.copytree(data, tmp_path / "data")
    old = json.loads((workdir / "genres.json").read_text())["names"][0]
    for file in (workdir / "genres.json", copy / "genres.json", workdir / "evaluation_test.json"):
        file.write_text(file.read_text("utf-8").replace(json.dumps(old), json.dumps(EVIL)), "utf-8")
    (workdir / "thresholds.json").unlink()
    with np.load(workdir / "evaluation_test.npz") as kept:
        arrays = dict(kept)
    names = [EVIL if name == old else str(name) for name in arrays["genres"]]
    np.savez(workdir / "evaluation_test.npz", **(arrays | {"genres": np.array(names)}))
    lines = [line.split("\t") for line in (copy / "tracks.tsv").read_text("utf-8").splitlines()]
    for line in lines[1:]:
        line[4] = "<img src=x onerror=alert(2)>"
    (copy / "tracks.tsv").write_text("".join("\t".join(line) + "\n" for line in lines), "utf-8")
    with (copy / "quarantine.tsv").open("a", encoding="utf-8") as file:
        file.write(f"x\t{EVIL}\t{EVIL}\n")
    counted = json.loads((copy / "report.json").read_text())
    counted["rejected"][EVIL] = 1
    (copy / "report.json").write_text(json.dumps(counted))

    html = report(workdir, "--data", str(copy))
    asked = opened(page, workdir / "report.html")
    assert page.locator("script").count() == 0
    assert "<script" not in html
    assert page.locator("img").count() == CHARTS + page.locator("#explained img[alt]").count()
    assert EVIL in page.locator("#data").inner_text()
    assert "<img src=x" in page.locator("#mistakes .song").first.inner_text()
    page.locator("#genres details").evaluate("d => d.open = true")
    assert EVIL in page.locator("#genres").inner_text()
    assert asked == []


def test_a_run_that_was_never_evaluated_still_has_a_page(run: Path, page: Page, tmp_path: Path, capsys):
    folder = shutil.copytree(run, tmp_path / "run")
    for file in folder.glob("evaluation_*"):
        file.unlink()
    report(folder)
    assert "run mgc-jax evaluate --split test first" in capsys.readouterr().out
    asked = opened(page, folder / "report.html")
    assert "was not evaluated on test yet" in page.locator("#results").inner_text()
    assert page.locator("#training img").count() == 1
    assert asked == []


def damage(name: str, content: bytes | None):
    def apply(workdir: Path) -> None:
        file = workdir / name
        whole = file.read_bytes()
        file.unlink()
        if content is not None:
            file.write_bytes(content or whole[: len(whole) // 2])

    return apply


def edit(**changes):
    """Change the evaluation's JSON; None removes."""

    def apply(workdir: Path) -> None:
        file = workdir / "evaluation_test.json"
        stored = json.loads(file.read_text()) | changes
        file.write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))

    return apply


def other_genres(workdir: Path) -> None:
    with np.load(workdir / "evaluation_test.npz") as kept:
        arrays = dict(kept)
    np.savez(workdir / "evaluation_test.npz", **(arrays | {"genres": arrays["genres"][::-1]}))


def no_vectors(workdir: Path) -> None:
    with np.load(workdir / "evaluation_test.npz") as kept:
        arrays = {name: array for name, array in kept.items() if name != "fused"}
    np.savez(workdir / "evaluation_test.npz", **arrays)


@pytest.mark.parametrize(
    ("break_it", "part", "sentence"),
    [
        (damage("metrics.jsonl", None), "training", "metrics.jsonl is not here"),
        (damage("metrics.jsonl", b"\n"), "training", "no lines yet"),
        (damage("metrics.jsonl", BROKEN_LOG), "training", "3 lines"),
        (damage("metrics.jsonl", b"x\n" * 9), "training", "9 lines of metrics.jsonl cannot be read"),
        (damage("evaluation_test.json", b"{}"), "results", "genres is missing"),
        (damage("evaluation_test.json", b"[1"), "results", "run mgc-jax evaluate again"),
        (edit(genres=[{"name": "polka"}]), "results", "another genre vocabulary"),
        (edit(trivial=5), "results", "cannot be used"),
        (edit(num_tracks=None), "results", "num_tracks is missing"),
        (edit(num_tracks=10**400), "results", "is no number of anything"),
        (edit(split="validation"), "results", "of another split"),
        (edit(map_macro="<b>"), "results", "cannot be used"),
        (edit(checkpoint_step=99), "precision", "belongs to another evaluation"),
        (edit(data="/no/such\0folder"), "data", "not there any more"),
        (edit(data=["x"]), "data", "is not known"),
        (edit(data="/no/such/folder"), "mistakes", "players are missing"),
        (damage("evaluation_test.npz", None), "calibration", "is missing"),
        (damage("evaluation_test.npz", b""), "confusions", "cannot be used"),
        (other_genres, "retrieval", "another genre vocabulary"),
        (no_vectors, "songs", "has no fused vectors"),
    ],
)  # fmt: skip
def test_what_is_broken_costs_its_part_of_the_page(workdir: Path, capsys, monkeypatch, break_it, part, sentence):
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: None)  # most of a page's time
    break_it(workdir)
    html = report(workdir, "--no-audio")
    section = html.split(f'<section id="{part}">')[1].split("</section>")[0]
    (note,) = [line for line in section.split('<p class="note">')[1:] if sentence in line]
    assert note
    assert sentence in capsys.readouterr().out
    assert all(f'<section id="{name}">' in html for name in SECTIONS)
    assert "Traceback" not in html


def test_few_tracks_have_no_map(workdir: Path, monkeypatch, capsys):
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", lambda engine, figure: None)
    monkeypatch.setattr(charts, "MAP_SONGS", 999)
    assert "too few for a map of songs" in report(workdir, "--no-audio")
    assert "too few for a map of songs" in capsys.readouterr().out


def test_a_data_set_whose_parts_are_gone(workdir: Path, data: Path, tmp_path: Path, capsys):
    copy = shutil.copytree(data, tmp_path / "data")
    rows = (copy / "tracks.tsv").read_text("utf-8").replace("/audios/", "/gone/")
    (copy / "tracks.tsv").write_text(rows, "utf-8")
    (copy / "quarantine.tsv").unlink()
    html = report(workdir, "--data", str(copy))
    assert "of these tracks cannot be played" in html
    assert "cannot be opened: No such file or directory" in html
    assert "quarantine.tsv of the data set cannot be read" in html
    assert "<audio" not in html
    (copy / "tracks.tsv").write_text("split\tindex\n")
    for broken in ('{"rejected": 3}', '{"rejected": {}, "filtered": {}, "tracks_read": 1e999}'):
        (copy / "report.json").write_text(broken)
        html = report(workdir, "--data", str(copy), "--no-audio")
        assert "Names and players are missing" in html
        assert "report.json of the data set cannot be used" in html
    assert len(capsys.readouterr().out.splitlines()) > 4


def test_another_data_set_is_not_taken_for_the_evaluated_one(workdir: Path, data: Path, tmp_path: Path):
    copy = shutil.copytree(data, tmp_path / "data")
    other = json.loads((copy / "genres.json").read_text())
    other["names"][0] = "polka"
    other["aliases"] = {}
    (copy / "genres.json").write_text(json.dumps(other))
    assert "is another data set than the one that was evaluated" in report(workdir, "--data", str(copy))


def test_tracks_that_the_run_did_not_learn_from_are_not_told_as_its_own(workdir: Path, data: Path, tmp_path: Path):
    says, learned = "another one than the run was trained on", PreparedData(data).split_sizes["train"]
    assert says not in report(workdir)
    copy = Path(shutil.copytree(data, tmp_path / "data"))  # of the same genres, for as many test tracks
    counted = json.loads((copy / "genres.json").read_text())
    (copy / "genres.json").write_text(json.dumps(counted | {"num_tracks": learned + 7}))
    page = report(workdir, "--data", str(copy))
    assert says in page
    assert f"{learned} training;" in page
    folder = Path(shutil.copytree(workdir, tmp_path / "other", ignore=shutil.ignore_patterns("checkpoints")))
    file = folder / "evaluation_test.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"other_data": True}))
    assert says in report(folder)


def test_wrong_arguments_are_one_sentence(run: Path, tmp_path: Path, capsys):
    for arguments, sentence in (
        (["--workdir", str(tmp_path)], "holds no run"),
        (["--workdir", str(tmp_path / "missing")], "There is no folder"),
        (["--workdir", "~nobody/run"], "There is no folder"),
        (["--workdir", str(run), "--data", str(tmp_path / "missing")], "missing"),
    ):
        assert main(["report", *arguments]) == 2
        told = capsys.readouterr().err
        assert sentence in told
        assert told.count("\n") == 1
    for arguments, sentence in (
        (["--out", str(tmp_path / "missing" / "page.html")], "no folder"),
        (["--out", str(tmp_path)], "is a folder"),
        (["--split", "dev"], "invalid choice"),
    ):
        with pytest.raises(SystemExit) as refused:
            main(["report", "--workdir", str(run), *arguments])
        assert refused.value.code == 2
        assert sentence in capsys.readouterr().err


def test_a_run_of_a_rival_has_no_embeddings_and_says_so(workdir: Path):
    with np.load(workdir / "evaluation_test.npz") as kept:
        arrays = {name: kept[name] for name in kept if name not in ("audio", "lyrics", "genre_vectors", "adjacency")}
    np.savez(workdir / "evaluation_test.npz", **arrays)
    html = report(workdir, "--no-audio")
    assert "This model has no A-L embeddings." in html
    assert "This model has no genre vectors" in html


def test_audio_is_found_beside_the_data_set(tmp_path: Path, monkeypatch):
    file = tmp_path / "project" / "corpus" / "a.mp3"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    data = tmp_path / "project" / "sets" / "data"
    assert locate({"audio": "corpus/a.mp3"}, data) == file
    assert locate({"audio": str(file)}, data) == file
    assert locate({"audio": "corpus/b.mp3"}, data) == Path("corpus/b.mp3")
    monkeypatch.chdir(tmp_path / "project")
    assert locate({"audio": "corpus/a.mp3"}, Path("/elsewhere")) == Path("corpus/a.mp3")
