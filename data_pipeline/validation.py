"""Holds the fields of a dataclass to their annotations, such as ``seconds: Annotated[float, {"ge": 1, "le": 3600}]``.

An annotation is the one place that says what a field may hold: its type, the choices of a ``Literal``, a range. Known
are bool, int, float, str, Literal, tuple and Mapping, and of ranges the limits ``gt``, ``ge``, ``lt`` and ``le``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from data_pipeline.errors import InputError

Limits = Mapping[str, float]
"""``gt``, ``ge``, ``lt`` and ``le``: what a number is greater than, at least, and so on."""
_KEEPS = {"gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le}
_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


@functools.cache
def field_types(kind: type) -> dict[str, Any]:
    """The annotation of each field of a dataclass, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def split(annotation: Any) -> tuple[Any, Limits]:
    """The bare type of an annotation, and the limits of its range, of which it may have none."""
    if get_origin(annotation) is not Annotated:
        return annotation, {}
    kind, limits = get_args(annotation)
    assert limits.keys() <= _KEEPS.keys()
    return kind, limits


def check(instance: Any, prefix: str = "") -> None:
    """Check every field of a dataclass and of the dataclasses in it; ``prefix`` goes before a field's name.

    Raises:
        InputError: naming the first field that does not hold what its annotation says, and what that is.
    """
    for field, annotation in field_types(instance.__class__).items():
        name, value = f"{prefix}{field}", getattr(instance, field)
        if dataclasses.is_dataclass(annotation):
            check(value, f"{name}.")
        else:
            accepted(name, annotation, value)


def accepted(name: str, annotation: Any, value: Any) -> Any:
    """``value`` as a field ``name`` holds it: an int becomes a float and a list a tuple where that is wanted.

    Raises:
        InputError: it is not what ``annotation`` says.
    """
    kind, limits = split(annotation)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{name} is {_shown(value)}, but must be one of {', '.join(arguments)}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{name} must be a list such as [1, 2], not {_shown(value)}.")
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(value) != len(kinds):
            raise InputError(f"{name} is {_shown(value)}, but must be a list of {len(kinds)}.")
        return tuple(accepted(f"{name}[{index}]", kinds[index], item) for index, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise InputError(f"{name} must be a dict such as {{'from': 'to'}}, not {_shown(value)}.")
        return {
            accepted(f"a key of {name}", arguments[0], key): accepted(f"an entry of {name}", arguments[1], item)
            for key, item in value.items()
        }
    value = _scalar(name, kind, value)
    if limits and not _within(value, limits):
        raise InputError(f"{name} is {value}, but must {_in_words(limits)}.")
    return value


def _scalar(name: str, kind: Any, value: Any) -> Any:
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise InputError(f"{name} is too large a number.")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{name} must be {_WORDS[kind]}, not {_shown(value)}.")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{name} is {value}, but must be a finite number.")
    if kind is str and not _encodable(value):
        raise InputError(f"{name} is {value!r}, which is no text in UTF-8.")
    return value


def _encodable(text: str) -> bool:
    """Not so an argument that is not UTF-8, half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _within(value: Any, limits: Limits) -> bool:
    return all(_KEEPS[name](value, limit) for name, limit in limits.items())


def _in_words(limits: Limits) -> str:
    if len(limits) > 1:
        return f"lie in {interval(limits)}"
    if "gt" in limits:
        return f"be greater than {limits['gt']}"
    return f"be at least {limits['ge']}" if limits["ge"] else "not be negative"


def interval(limits: Limits) -> str:
    """A range with two ends as mathematics writes it, such as ``[0, 1)``."""
    low = f"[{limits['ge']}" if "ge" in limits else f"({limits['gt']}"
    return f"{low}, {limits['le']}]" if "le" in limits else f"{low}, {limits['lt']})"


def _shown(value: Any) -> str:
    """A value of any size and depth, fit for a sentence."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, lists in lists in lists
        return f"such a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]} ..."
