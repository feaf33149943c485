"""Modules that take seconds to import, and that may not be installed."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType
from typing import Any

import pytest


class Lazy:
    """A module that is imported when something of it is first used, so that collecting the tests stays quick.

    Where it is not installed, the tests of the module that asks for it are skipped.
    """

    def __init__(self, name: str):
        self._name = name
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            pytest.skip(f"{name} is not installed", allow_module_level=True)

    @functools.cached_property
    def _module(self) -> ModuleType:
        return importlib.import_module(self._name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("_", "pytest")):  # pytest looks whether this is a test
            raise AttributeError(name)
        return getattr(self._module, name)
