"""The commands and their options as Markdown, from the parser itself: python scripts/commands_reference.py"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from mgc_jax.cli import parser


def markdown() -> str:
    """Each command with its description, its options and its example."""
    return "\n\n".join(section(name, command) for name, command in commands().items())


def commands() -> dict[str, argparse.ArgumentParser]:
    """Each command's own parser."""
    (found,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


def section(name: str, command: argparse.ArgumentParser) -> str:
    rows = [f"| {cell(shown(action))} | {cell(help_text(action))} |" for action in options(command)]
    example = (command.epilog or "").removeprefix("example: ")
    return "\n".join(
        [f"## {name}", "", command.description or "", "", "| argument | |", "|---|---|", *rows]
        + (["", "```sh", example, "```"] if example else [])
    )


def options(command: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Those that are required first, as the usage has them."""
    actions = [action for action in command._actions if not isinstance(action, argparse._HelpAction)]
    yield from sorted(actions, key=lambda action: not action.required)


def shown(action: argparse.Action) -> str:
    """``--seeds K``, ``AUDIO ...``"""
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    more = " ..." if action.nargs in ("+", "*") else ""
    return f"`{' '.join(filter(None, [*action.option_strings[-1:], value]))}{more}`"


def help_text(action: argparse.Action) -> str:
    """What ``--help`` says, and whether it has to be given."""
    text = (action.help or "") % {**vars(action), "prog": "mgc-jax"}
    if action.choices is not None and not all(str(choice) in text for choice in action.choices):
        text = "; ".join(filter(None, [text, "one of " + ", ".join(map(str, action.choices))]))
    if (
        not action.required
        and action.default is not False
        and action.default not in (None, [])
        and "default" not in text
    ):
        shown = ", ".join(action.default) if isinstance(action.default, list | tuple) else action.default
        text = "; ".join(filter(None, [text, f"default {shown}"]))
    return "; ".join(filter(None, ["**required**" if action.required else "", text]))


def cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


if __name__ == "__main__":
    print(markdown())
