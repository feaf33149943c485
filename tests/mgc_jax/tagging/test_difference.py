"""The old file is made of the new one and a recipe, whatever was changed, and the recipe is small."""

import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mgc_jax.tagging.difference import RecipeError, difference, restore

RANDOM = np.random.default_rng(0)
SOUND = RANDOM.bytes(200_000)
PICTURE = RANDOM.bytes(30_000)


def made_again(old: bytes, new: bytes, folder) -> tuple[bytes, int]:
    """What the recipe gives, and its size as JSON."""
    before, after = folder / "old", folder / "new"
    before.write_bytes(old)
    after.write_bytes(new)
    recipe = json.loads(json.dumps(difference(before, after)))
    out = io.BytesIO()
    restore(recipe, after, out)
    return out.getvalue(), len(json.dumps(recipe))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ID3 old" + SOUND, b"ID3 a longer one" * 20 + SOUND),
        (b"ID3 old" * 400 + SOUND, b"ID3" + SOUND),
        (b"a" * 900 + SOUND + b"TAG old", b"b" * 100 + SOUND + b"APE new" + b"TAG"),
        (b"old" + PICTURE + bytes(8192) + SOUND, b"n" * 300 + PICTURE + bytes(1024) + SOUND),
        (b"artist" * 40 + PICTURE + b"genre" + SOUND, b"genre" + b"artist" * 40 + b"x" * 11 + PICTURE + SOUND),
        (SOUND, SOUND),
        (b"", SOUND),
        (b"x", b""),
        (bytes(100_000), bytes(7)),
    ],
)
def test_moved_parts_are_found(old, new, tmp_path):
    again, size = made_again(old, new, tmp_path)
    assert again == old
    assert size < 2500


def test_pages_that_are_numbered_anew_cost_little(tmp_path):
    """As those of Ogg, when a comment takes one page more."""
    pages = [RANDOM.bytes(4000) for _ in range(50)]
    old = b"".join(b"OggS" + RANDOM.bytes(8) + page for page in pages)
    new = bytes(4000) + b"".join(b"OggS" + RANDOM.bytes(8) + page for page in pages)
    again, size = made_again(old, new, tmp_path)
    assert again == old
    assert size < 50 * 80


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 30_000), st.binary(max_size=40)), max_size=6))
def test_any_change_is_taken_back(changes, tmp_path):
    old = SOUND[:40_000]
    new = bytearray(old)
    for start, length, content in changes:
        new[start : start + length] = content
    assert made_again(old, bytes(new), tmp_path)[0] == old
    assert made_again(bytes(new), old, tmp_path)[0] == bytes(new)


@pytest.mark.parametrize("recipe", [["no base64!"], [[0, 99]], ["AAAA"]])
def test_a_recipe_that_does_not_fit_is_refused(recipe, tmp_path):
    (tmp_path / "new").write_bytes(b"short")
    with pytest.raises(RecipeError):
        restore(recipe, tmp_path / "new", io.BytesIO())
