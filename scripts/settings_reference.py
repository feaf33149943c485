"""Prints the reference of all settings as Markdown, read off the classes that hold them: a table for each group.

python scripts/settings_reference.py > docs/reference/settings.md
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

from annotated_types import Interval

from data_pipeline import validation
from mgc_jax.config import Config

KINDS = {bool: "bool", int: "int", float: "float", str: "text"}


def reference() -> str:
    """A heading, what the group is for, and a table of its settings, for each group."""
    return "\n\n".join(_group(name, kind) for name, kind in validation.field_types(Config).items()) + "\n"


def _group(name: str, kind: type) -> str:
    meant, usual = meanings(kind), kind()
    rows = [
        f"| `{name}.{field}` | {allowed(annotation)} | {_default(getattr(usual, field))} | {meant[field]} |"
        for field, annotation in validation.field_types(kind).items()
    ]
    head = ["| setting | may be | default | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {name}", "", inspect.cleandoc(kind.__doc__ or ""), "", *head, *rows])


def meanings(kind: type) -> dict[str, str]:
    """What stands under each field of a class, on one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in itertools.pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def allowed(annotation: Any) -> str:
    """What a field may hold: its choices, or its type with its range."""
    kind, limits = validation.split(annotation)
    arguments = get_args(kind)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if get_origin(kind) is tuple:
        of = allowed(arguments[0])
        return f"list of {of}" if arguments[-1] is Ellipsis else f"list of {len(arguments)} {of}"
    if get_origin(kind) is Mapping:
        return f"dict from {allowed(arguments[0])} to {allowed(arguments[1])}"
    return f"{KINDS[kind]} {_range(limits)}" if limits else KINDS[kind]


def _range(limits: Interval) -> str:
    if limits.lt is None and limits.le is None:
        return f"> {limits.gt}" if limits.ge is None else f"≥ {limits.ge}"
    return f"in {validation.interval(limits)}"


def _default(value: Any) -> str:
    return f"`{list(value) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    print("# Settings\n")
    print(reference(), end="")
