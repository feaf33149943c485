"""The ``mgc-jax`` command: a module for each of its commands, with that command's arguments and its run.

A new command is a new module here with a ``COMMAND``, and its name in the list of :mod:`mgc_jax.cli.entry`.
"""

from mgc_jax.cli.entry import main, parser

__all__ = ["main", "parser"]
