"""The project's modules as they are written: their syntax trees and what they import."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.recipe import ROOT

PACKAGES = ("data_pipeline", "mgc_jax")


class Import(NamedTuple):
    """``target`` is the full name of what is imported; ``lazy`` where it does not happen with the file's own import."""

    target: str
    lazy: bool


class Module(NamedTuple):
    name: str
    tree: ast.Module
    imports: tuple[Import, ...]

    def uses(self, package: str) -> bool:
        return any(within(i.target, package) for i in self.imports)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def imports_of(tree: ast.AST, package: str, lazy: bool = False) -> Iterator[Import]:
    """Every import of a file in ``package``; ``from a import b`` counts as ``a.b``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from (Import(f"{base}.{alias.name}", lazy) for alias in node.names)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from imports_of(node, package, lazy or inside or typing_only)


def read(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    initial = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if initial else parts)
    tree = ast.parse(path.read_text("utf-8"), str(path))
    return Module(name, tree, tuple(imports_of(tree, name if initial else ".".join(parts[:-1]))))


def read_all(folder: str) -> list[Module]:
    return [read(path) for path in sorted((ROOT / folder).rglob("*.py"))]


MODULES = {module.name: module for package in PACKAGES for module in read_all(package)}
