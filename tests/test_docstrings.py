"""Docstrings: whatever is public has one, and their examples give what they say."""

from __future__ import annotations

import ast
import doctest
import importlib
import shutil
from pathlib import Path

import pytest

from data_pipeline.sources import read_corpus
from tests.support.source_tree import MODULES, Module

WITH_EXAMPLES = [name for name, module in MODULES.items() if ">>> " in ast.unparse(module.tree)]


def public(node: ast.AST, path: str) -> list[tuple[str, ast.AST]]:
    """The public classes, functions and methods under a node."""
    found = []
    for inner in ast.iter_child_nodes(node):
        kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(inner, kinds) and not inner.name.startswith("_"):
            found.append((f"{path}.{inner.name}", inner))
            if isinstance(inner, ast.ClassDef):
                found += public(inner, f"{path}.{inner.name}")
    return found


def is_overload(node: ast.AST) -> bool:
    """Whether it is one form of a function that is described where all its forms are."""
    return any(ast.unparse(decorator) == "overload" for decorator in getattr(node, "decorator_list", ()))


@pytest.mark.parametrize("module", MODULES.values(), ids=list(MODULES))
def test_all_that_is_public_has_a_docstring(module: Module):
    overriding = {"__call__", "forward"}  # what the class says of itself
    missing = [
        path
        for path, node in [(module.name, module.tree), *public(module.tree, module.name)]
        if not ast.get_docstring(node) and path.rpartition(".")[2] not in overriding and not is_overload(node)
    ]
    assert not missing


@pytest.mark.parametrize("name", [name for name in WITH_EXAMPLES if name != "mgc_jax"])
def test_examples_give_what_they_say(name: str):
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert tried
    assert not failed


def test_there_are_examples():
    assert {"mgc_jax", "mgc_jax.evaluation.metrics", "data_pipeline.genres", "data_pipeline.audio.spec"} <= set(
        WITH_EXAMPLES
    )


@pytest.mark.slow
def test_the_packages_own_example(run: Path, data: Path, corpus: Path, tmp_path: Path, monkeypatch):
    """In a folder that holds what the example names."""
    import mgc_jax

    (tmp_path / "runs").mkdir()
    shutil.copytree(run, tmp_path / "runs" / "mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(data)
    track = next(
        track for track in read_corpus(corpus).tracks if track.lyrics_file and track.audio.stat().st_size > 9999
    )
    shutil.copy(track.audio, tmp_path / "song.mp3")
    shutil.copy(track.lyrics_file, tmp_path / "song.txt")
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(mgc_jax)
    assert tried > 5
    assert not failed
