"""Models on the Hugging Face hub, through its own client, against a stand-in for it on this machine."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mgc_jax.export.folder import export
from tests.support import hub_server, tiny_model

ROOT = Path(__file__).parents[3]

ASK = """
import contextlib, io, json, sys, time
import huggingface_hub.hf_api
from mgc_jax import api
from mgc_jax.runs import hub
from mgc_jax.cli import main
hub.FIRST_ANSWER = hub.LATER_ANSWER = {limit}
answers = []
for arguments in json.loads(sys.argv[1]):
    out, err, began = io.StringIO(), io.StringIO(), time.monotonic()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    seconds = time.monotonic() - began
    answers.append(dict(code=code, out=out.getvalue(), err=err.getvalue(), seconds=seconds))
print(json.dumps(answers))
"""


def python(code: str, *arguments: str, hub: str, home: Path, token: str | None = hub_server.TOKEN) -> str:
    """The client reads its settings when it is imported: a process of its own for every set of them."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)}
    environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"} | ({"HF_TOKEN": token} if token else {})
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(*commands: list[str], limit: float = 30.0, **settings: Any) -> list[dict[str, Any]]:
    """What ``mgc-jax`` says to several commands."""
    return json.loads(python(ASK.format(limit=limit), json.dumps(commands), **settings))


def refusal(answer: dict[str, Any]) -> str:
    """The one sentence of a command that failed in a moment."""
    assert answer["code"] == 2, answer
    assert answer["err"].count("\n") == 1
    assert "Traceback" not in answer["err"]
    assert answer["seconds"] < 30
    return answer["err"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "model"
    export(tiny_model.model(folder.parent / "run"), folder)
    return folder


PUSH = ["push", "--repo", "user/name", "--folder"]
PREDICT = ["predict", "--workdir", "hf://user/name", "song.mp3"]
LOAD = """
import sys, numpy as np, mgc_jax
from tests.support import tiny_model
out, *addresses = sys.argv[1:]
for address in addresses:
    model = mgc_jax.load(address)
    print(model.folder.path)
np.save(out, tiny_model.logits(model, tiny_model.batch(model, rows=3)))
"""


@pytest.mark.slow
def test_a_model_goes_to_the_hub_and_comes_back(exported, tmp_path):
    import mgc_jax

    with hub_server.running() as hub:
        (first,) = ask([*PUSH, str(exported), "--private"], hub=hub.address, home=tmp_path / "ours")
        assert first["code"] == 0, first["err"]
        assert "hf://user/name" in first["out"]
        repository = hub.repositories["user/name"]
        assert repository["private"]
        files = {file.relative_to(exported).as_posix(): file.read_bytes() for file in exported.rglob("*")
                 if file.is_file()}  # fmt: skip
        assert repository["files"] == files

        private = {
            "report.html": b"with music",
            "evaluation_test.json": b'{"data": "/home/me"}',
            "evaluation_test.npz": b"x",
        }
        for name, content in private.items():
            (exported / name).write_bytes(content)
        (exported / "thresholds.json").write_text("{}")
        (again,) = ask([*PUSH, str(exported)], hub=hub.address, home=tmp_path / "ours")
        for name in (*private, "thresholds.json"):
            (exported / name).unlink()
        assert again["code"] == 0, again["err"]
        assert repository["files"].pop("thresholds.json") == b"{}"
        assert not set(private) & set(repository["files"])
        repository["private"] = False
        (public,) = ask([*PUSH, str(exported), "--private"], hub=hub.address, home=tmp_path / "ours")
        assert public["code"] == 2
        assert "everybody can see it" in public["err"]
        repository["private"] = True

        out = tmp_path / "logits.npy"
        loaded = python(
            LOAD, str(out), "hf://user/name", "hf://user/name@v1", hub=hub.address, home=tmp_path / "theirs"
        )
        folder, tagged = map(Path, loaded.splitlines())
        assert tagged == folder
        assert folder.is_relative_to(tmp_path / "theirs")
        model = mgc_jax.load(exported)
        import numpy as np

        given = tiny_model.batch(model, rows=3)
        np.testing.assert_allclose(np.load(out), tiny_model.logits(model, given), rtol=1e-5, atol=1e-5)
        assert not (folder / "model.stablehlo").exists()  # for those who go without this program
        assert (folder / "encoder" / "model.safetensors").exists()

        hub.asked.clear()
        python(LOAD, str(out), "hf://user/name", hub=hub.address, home=tmp_path / "theirs")
        assert not [request for request in hub.asked if "/resolve/" in request]  # it was here already

    said = python(LOAD, str(out), "hf://user/name", hub=hub_server.nobody(), home=tmp_path / "theirs").splitlines()
    assert said[0].startswith("The hub does not answer; hf://user/name is the copy on this machine")
    assert Path(said[-1]) == folder


def test_what_the_hub_refuses(exported, tmp_path):
    with hub_server.running() as hub:
        repositories = {
            "user/gated": {"private": False, "gated": True, "files": {}},
            "user/private": {"private": True, "gated": False, "files": {}},
            "user/other": {"private": False, "gated": False, "files": {"pytorch_model.bin": b"x" * 100}},
        }
        hub.repositories.update(repositories)
        predict = [["predict", "--workdir", f"hf://user/{name}", "song.mp3"] for name in (
            "gated", "private", "lost", "other", "other@v7"
        )]  # fmt: skip
        stranger = ask(*predict, [*PUSH, str(exported)], hub=hub.address, home=tmp_path, token=None)
        known = ask(
            ["push", "--repo", "somebody/else", "--folder", str(exported)], *predict[:1], hub=hub.address, home=tmp_path
        )
        (wrong,) = ask([*PUSH, str(exported)], hub=hub.address, home=tmp_path, token="hf_of_nobody")
        assert not [request for request in hub.asked if "resolve" in request]  # nothing large was downloaded
        assert set(hub.repositories) == set(repositories)
    fragments = [
        "its owner grants access to it one by one",
        "no such model, or it is private",
        "no such model, or it is private",
        "holds no model of mgc-jax (config.json, genres.json is missing)",
        "no such revision",
        "nobody is logged in on this machine; log in with hf auth login, or set HF_TOKEN",
    ]
    for answer, fragment in zip(stranger, fragments, strict=True):
        assert fragment in refusal(answer)
    assert "does not allow it (403: You don't have the rights" in refusal(known[0])
    assert "its owner grants access" in refusal(known[1])
    assert "does not allow it (401" in refusal(wrong)


def test_a_hub_that_does_not_answer(exported, tmp_path):
    commands = ([*PUSH, str(exported)], PREDICT)
    for answer in ask(*commands, hub=hub_server.nobody(), home=tmp_path):
        assert "does not answer" in refusal(answer)
        assert answer["seconds"] < 10
    with hub_server.silent() as address:
        for answer in ask(*commands, limit=0.3, hub=address, home=tmp_path):
            assert "does not answer" in refusal(answer)
            assert answer["seconds"] < 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "where"),
    [
        (PREDICT, "/resolve/"),
        *(pytest.param(*case, marks=pytest.mark.rare) for case in ((PREDICT, "/tree/"), (PUSH, "preupload"))),
    ],
)
def test_a_hub_that_falls_silent(exported, tmp_path, command, where):
    with hub_server.running() as hub:
        files = {name: (exported / name).read_bytes() for name in ("config.json", "genres.json")}
        hub.repositories["user/name"] = {"private": False, "gated": False, "files": files}
        hub.silent_on = where
        words = [*PUSH, str(exported)] if command == PUSH else command
        (answer,) = ask(words, limit=0.3, hub=hub.address, home=tmp_path / "home")
        refusal(answer)


def test_bad_addresses_and_folders(exported, tmp_path):
    half = Path(shutil.copytree(exported, tmp_path / "half"))
    (half / "README.md").unlink()
    addresses = ["hf://", "hf:", "hf://name", "hf:///name", "hf://user/name/more", "hf://user/na me", "hf://../.."]
    addresses += ["hf://user/name@", "hf://datasets/user/name", "hf://user/name\n"]
    commands = [["predict", "--workdir", address, "song.mp3"] for address in addresses]
    pushes = [
        ["push", "--repo", "name", "--folder", str(exported)],
        ["push", "--repo", "", "--folder", str(exported)],
        [*PUSH, str(half)],
        [*PUSH, str(tmp_path / "lost")],
    ]
    answers = ask(*commands, *pushes, hub=hub_server.nobody(), home=tmp_path / "home")
    for answer in answers[: len(commands)]:
        assert "is no address on the hub; write hf://user/name" in refusal(answer)
    for answer, fragment in zip(
        answers[len(commands) :],
        ["cannot be a repository", "cannot be a repository", "README.md is missing", "is no exported model"],
        strict=True,
    ):
        assert fragment in refusal(answer)
