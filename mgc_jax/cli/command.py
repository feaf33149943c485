"""What a command is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """``mgc-jax name``: its lines in the help, its arguments, and what it does with them.

    ``run`` raises InputError for a person's mistake, and may return an exit code. It imports what is heavy or optional
    itself, so that the help is quick and no extra need be there. A command that is ``on_devices`` keeps the programs
    that it compiles for the next.
    """

    name: str
    help: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    on_devices: bool = False

    def add_to(self, commands: argparse._SubParsersAction) -> None:
        """Make the command known to a parser; its options carry ``run`` and ``on_devices``."""
        parser = commands.add_parser(
            self.name,
            help=self.help,
            description=self.help[0].upper() + self.help[1:] + ".",
            epilog=f"example: {self.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=self.run, on_devices=self.on_devices)
        self.add_arguments(parser)
