"""Settings from outside: recipes by name or file, ``--config.key=value``, the ``config.json`` of a run.

A recipe (``configs/*.py``) returns only what differs from the defaults of :class:`Config`; overrides come last.
Whatever the source, an unknown key or a value that its setting cannot hold is an :class:`InputError`.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import os
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.storage.json_file import read_json
from data_pipeline.validation import accepted, field_types
from mgc_jax.config.settings import Config


def load(spec: str | None = None, overrides: Iterable[str] = (), base: Config | None = None) -> Config:
    """The settings of a recipe ``NAME[:ARG]`` or ``FILE[:ARG]`` with ``key=value`` overrides, over those of ``base``.

    Raises:
        InputError: the recipe is missing or broken, a key is unknown, or a value is none that the setting can have.
    """
    values = flat(base or Config())
    if spec is not None:
        values |= _named(_recipe(spec), spec)
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"--config.{item} has no value: write --config.{key}=VALUE.")
        tree: Any = _literal(text)
        for part in reversed(key.split(".")):
            tree = {part: tree}
        values |= _named(tree, f"--config.{key}")
    return _config(values)


def changed(config: Config, changes: Mapping[str, Any], *, origin: str) -> Config:
    """``config`` with other values for some settings, by full name such as ``train.seed``.

    Raises:
        InputError: as :func:`load` does, with ``origin`` as the one to blame.
    """
    return _config(flat(config) | {name: _held(name, value, origin) for name, value in changes.items()})


def from_json(path: Path) -> Config:
    """The settings in a run's ``config.json``, which is data: nothing in it is executed. What it lacks is by default.

    Raises:
        InputError: it cannot be read, or holds what is no setting.
    """
    try:
        tree = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a run's configuration ({error}).") from None
    if not isinstance(tree, Mapping):
        raise InputError(f"{path} cannot be read as a run's configuration (it holds no settings).")
    if "model_type" in tree:
        hint = "; a CLAP scores genres that it is given (predict, serve: --genres)" * (tree["model_type"] == "clap")
        raise InputError(f"{path} is that of a published network ({tree['model_type']!r:.40}) and of no run{hint}.")
    return _config(flat(Config()) | _named(tree, str(path)))


def as_json(config: Config) -> dict[str, Any]:
    """What :func:`from_json` reads."""
    return dataclasses.asdict(config)


def flat(config: Config) -> dict[str, Any]:
    """Every setting by its full name, such as ``train.seed``."""
    return {
        f"{group.name}.{field.name}": getattr(getattr(config, group.name), field.name)
        for group in dataclasses.fields(config)
        for field in dataclasses.fields(getattr(config, group.name))
    }


def first_difference(a: Config, b: Config, ignore: Iterable[str] = ()) -> str | None:
    """The first setting that ``b`` has another value of than ``a``, as a phrase, or None."""
    before, after = flat(a), flat(b)
    for name in sorted(before):
        if not name.startswith(tuple(ignore)) and before[name] != after[name]:
            return f"{name} is {after[name]!r} and was {before[name]!r}"
    return None


def names() -> list[str]:
    """Of the recipes that come with the project."""
    return sorted(path.stem for path in _folder().glob("*.py"))


def _folder() -> Path:
    """``configs``: within the package where it is installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def _config(values: Mapping[str, Any]) -> Config:
    groups = {
        group: kind(**{field: values[f"{group}.{field}"] for field in field_types(kind)})
        for group, kind in field_types(Config).items()
    }
    return Config(**groups)


def _named(tree: Mapping[Any, Any], origin: str) -> dict[str, Any]:
    """A nested mapping's settings by their full names, as their fields hold them."""
    flattened: dict[str, Any] = {}
    for group, values in _by_name(tree, origin):
        kind = field_types(Config).get(group)
        if kind is None:
            raise _unknown(group, field_types(Config), origin)
        if not isinstance(values, Mapping):
            raise InputError(f"{origin}: {group} is a group of settings ({', '.join(field_types(kind))}), not a value.")
        for field, value in _by_name(values, origin):
            flattened[f"{group}.{field}"] = _held(f"{group}.{field}", value, origin)
    return flattened


def _by_name(tree: Mapping[Any, Any], origin: str) -> Iterable[tuple[str, Any]]:
    if not all(isinstance(key, str) for key in tree):
        raise InputError(f"{origin}: settings are named by texts.")
    return tree.items()


def _held(name: str, value: Any, origin: str) -> Any:
    """``value`` as the setting ``name`` holds it."""
    group, _, field = name.partition(".")
    known = field_types(field_types(Config)[group])
    if field not in known:
        raise _unknown(name, known, origin)
    try:
        return accepted(name, known[field], value)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None


def _unknown(name: str, known: Iterable[str], origin: str) -> InputError:
    near = difflib.get_close_matches(name, flat(Config()), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}."
    return InputError(f"{origin}: there is no setting {name}; {hint}")


def _recipe(spec: str) -> Mapping[str, Any]:
    name, _, argument = spec.partition(":")
    path = _folder() / f"{name}.py" if name in names() else Path(name)
    if not os.path.isfile(path):  # unlike Path.is_file, False for a name that no file can have
        near = difflib.get_close_matches(path.stem, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"those of the project are {', '.join(names())}."
        raise InputError(f"There is no recipe {name}; {hint}")
    try:
        get_config = runpy.run_path(str(path)).get("get_config")
        if get_config is None:
            raise InputError(f"{name} defines no get_config(), which returns what differs from the defaults.")
        recipe = get_config(argument) if argument else get_config()
        return recipe.to_dict() if hasattr(recipe, "to_dict") else dict(recipe)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{name} is not a usable recipe ({type(error).__name__}: {error}).") from None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
