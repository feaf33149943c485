"""Holds the fields of a dataclass to their annotations, such as ``seconds: Annotated[float, Interval(ge=1, le=3600)]``.

An annotation is the one place that says what a field may hold: its type, the choices of a ``Literal``, a range. Known
are bool, int, float, str, Literal, tuple and Mapping, and of ``annotated_types`` Gt, Ge and Interval.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval

from data_pipeline.errors import InputError

_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


@functools.cache
def field_types(kind: type) -> dict[str, Any]:
    """The annotation of each field of a dataclass, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def split(annotation: Any) -> tuple[Any, Interval | None]:
    """The bare type of an annotation, and its range where it has one."""
    if get_origin(annotation) is not Annotated:
        return annotation, None
    kind, limit = get_args(annotation)
    match limit:
        case Gt():
            return kind, Interval(gt=limit.gt)
        case Ge():
            return kind, Interval(ge=limit.ge)
    assert isinstance(limit, Interval)
    return kind, limit


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
        return tuple(accepted(f"{name}[{place}]", kinds[place], item) for place, item in enumerate(value))
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


def _within(value: Any, limits: Interval) -> bool:
    return (
        (limits.gt is None or value > limits.gt)
        and (limits.ge is None or value >= limits.ge)
        and (limits.lt is None or value < limits.lt)
        and (limits.le is None or value <= limits.le)
    )


def _in_words(limits: Interval) -> str:
    if limits.lt is None and limits.le is None:
        if limits.ge is None:
            return f"be greater than {limits.gt}"
        return f"be at least {limits.ge}" if limits.ge else "not be negative"
    return f"lie in {interval(limits)}"


def interval(limits: Interval) -> str:
    """A range with two ends as mathematics writes it, such as ``[0, 1)``."""
    low = f"({limits.gt}" if limits.ge is None else f"[{limits.ge}"
    return f"{low}, {limits.lt})" if limits.le is None else f"{low}, {limits.le}]"


def _shown(value: Any) -> str:
    """A value of any size and depth, fit for a sentence."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, lists in lists in lists
        return f"such a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]} ..."
