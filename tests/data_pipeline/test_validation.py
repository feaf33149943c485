"""What a field's annotation says is what the field holds."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Interval

from data_pipeline.errors import InputError
from data_pipeline.validation import accepted, check

Share = Annotated[float, Interval(ge=0, lt=1)]


@pytest.mark.parametrize(
    ("annotation", "value", "held"),
    [
        (bool, True, True),
        (int, -3, -3),
        (float, 3, 3.0),
        (str, "é", "é"),
        (Literal["a", "b"], "b", "b"),
        (Annotated[int, Gt(0)], 1, 1),
        (Annotated[int, Ge(0)], 0, 0),
        (Share, 0, 0.0),
        (tuple[str, ...], [], ()),
        (tuple[str, ...], ["en", "pt"], ("en", "pt")),
        (tuple[Share, Share], [0, 0.5], (0.0, 0.5)),
        (Mapping[str, str], {"a": "b"}, {"a": "b"}),
    ],
)
def test_what_is_accepted(annotation, value, held):
    got = accepted("x", annotation, value)
    assert got == held
    assert type(got) is type(held)


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (bool, 1, "x must be True or False, not 1."),
        (int, True, "x must be a whole number, not True."),
        (int, 1.0, "x must be a whole number, not 1.0."),
        (int, 2**63, "x is too large a number."),
        (float, 10**400, "x is too large a number."),
        (float, "1", "x must be a number, not '1'."),
        (float, math.nan, "x is nan, but must be a finite number."),
        (float, math.inf, "x is inf, but must be a finite number."),
        (str, 1, "x must be a text, not 1."),
        (str, "\ud800", "x is '\\ud800', which is no text in UTF-8."),
        (Literal["a", "b"], "c", "x is 'c', but must be one of a, b."),
        (Literal["a", "b"], [], "x is [], but must be one of a, b."),
        (Annotated[int, Gt(0)], 0, "x is 0, but must be greater than 0."),
        (Annotated[int, Ge(0)], -1, "x is -1, but must not be negative."),
        (Annotated[int, Ge(3)], 2, "x is 2, but must be at least 3."),
        (Share, 1.0, "x is 1.0, but must lie in [0, 1)."),
        (Annotated[float, Interval(gt=0, le=1)], 0, "x is 0.0, but must lie in (0, 1]."),
        (tuple[str, ...], "en", "x must be a list such as [1, 2], not 'en'."),
        (tuple[str, ...], ["en", 5], "x[1] must be a text, not 5."),
        (tuple[Share, Share], [0.5], "x is [0.5], but must be a list of 2."),
        (Mapping[str, str], [], "x must be a dict such as {'from': 'to'}, not []."),
        (Mapping[str, str], {5: "a"}, "a key of x must be a text, not 5."),
        (Mapping[str, str], {"a": 5}, "an entry of x must be a text, not 5."),
        (float, [[0xF**10_000]], "x must be a number, not such a list."),
    ],
)
def test_what_is_refused(annotation, value, sentence):
    with pytest.raises(InputError) as caught:
        accepted("x", annotation, value)
    assert str(caught.value) == sentence


def test_a_long_value_is_cut_in_the_sentence():
    with pytest.raises(InputError) as caught:
        accepted("x", int, "y" * 10_000)
    assert len(str(caught.value)) < 300


@dataclasses.dataclass
class Inner:
    b: Share


@dataclasses.dataclass
class Outer:
    a: int
    inner: Inner


def test_a_dataclass_is_checked_with_those_in_it():
    check(Outer(1, Inner(0.5)), "all.")
    with pytest.raises(InputError, match=r"^all\.inner\.b is 1\.5, but must lie in \[0, 1\)"):
        check(Outer(1, Inner(1.5)), "all.")
