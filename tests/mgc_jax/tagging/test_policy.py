"""From scores to the genres that are written, and how they are spelled."""

import importlib.util
from pathlib import Path

import pytest

from data_pipeline.errors import InputError
from data_pipeline.genre_names import spaced
from mgc_jax.tagging.genre_tree import GenreTree, read_aliases, read_names, read_tree
from mgc_jax.tagging.policy import Policy
from mgc_jax.tagging.spelling import Spelling

SCORES = {"doom metal": 0.8, "rock": 0.6, "hip hop": 0.4, "jazz": 0.1}
THRESHOLDS = dict.fromkeys(SCORES, 0.5)
TREE = GenreTree([{"rock": ["punk", {"metal": ["doom metal", "black metal"]}]}, {"hip hop": ["trap"]}, "jazz"])


def genres(**choices):
    return list(Policy(**choices).genres(SCORES, THRESHOLDS))


def allowed(*names):
    return frozenset(map(spaced, names))


@pytest.mark.parametrize(
    ("choices", "written"),
    [
        ({}, ["Doom Metal", "Rock"]),
        ({"max_genres": 1}, ["Doom Metal"]),
        ({"min_score": 0.3}, ["Doom Metal", "Rock", "Hip Hop"]),
        ({"min_score": 0.9}, ["Doom Metal"]),
        ({"min_score": 0.9, "none_if_unsure": True}, []),
        ({"min_score": 0.8, "none_if_unsure": True}, ["Doom Metal"]),
        ({"whitelist": allowed("Hip-Hop", "ROCK")}, ["Rock"]),
        ({"whitelist": allowed("jazz")}, ["Jazz"]),
        ({"whitelist": allowed("jazz"), "none_if_unsure": True}, []),
        ({"whitelist": allowed("polka")}, []),
        ({"tree": TREE}, ["Rock"]),
        ({"tree": TREE, "whitelist": allowed("metal", "jazz")}, ["Metal"]),
        ({"tree": TREE, "whitelist": allowed("metal", "rock")}, ["Metal", "Rock"]),
        ({"tree": TREE, "tree_use": "parents"}, ["Doom Metal", "Metal", "Rock"]),
        ({"tree": TREE, "tree_use": "parents", "max_genres": 2}, ["Doom Metal", "Metal"]),
        ({"tree": TREE, "tree_use": "parents", "whitelist": allowed("rock", "doom metal")}, ["Doom Metal", "Rock"]),
        ({"spelling": Spelling({"rock": "Rock!"}, ["DOOM Metal"])}, ["DOOM Metal", "Rock!"]),
        ({"spelling": Spelling({"rock": "Metal", "doom metal": "Metal"})}, ["Metal"]),
        ({"spelling": Spelling(capitals=False)}, ["doom metal", "rock"]),
    ],
)
def test_which_genres_are_written(choices, written):
    assert genres(**choices) == written


def test_a_score_goes_with_each_genre():
    assert Policy(tree=TREE, tree_use="parents").genres(SCORES, THRESHOLDS) == {
        "Doom Metal": 0.8,
        "Metal": 0.8,
        "Rock": 0.8,
    }


@pytest.mark.parametrize(
    ("mode", "old", "new", "merged"),
    [
        ("keep", ("Pop",), ["Rock"], ("Pop",)),
        ("keep", (), ["Rock"], ("Rock",)),
        ("keep", ("Unknown",), ["Rock"], ("Rock",)),
        ("append", ("hip-hop", "Pop"), ["Hip Hop", "Rock"], ("hip-hop", "Pop", "Rock")),
        ("append", ("n/a",), ["Rock"], ("Rock",)),
        ("append", ("Rock",), ["Rock"], ("Rock",)),
        ("replace", ("Pop", "Rock"), ["Rock"], ("Rock",)),
        ("replace", ("Pop",), [], ("Pop",)),
    ],
)
def test_what_becomes_of_old_genres(mode, old, new, merged):
    assert Policy(mode=mode).merged(old, new) == merged


@pytest.mark.parametrize(
    ("genre", "spelled"),
    [
        ("hip hop", "Hip Hop"),
        ("post-rock", "Post-Rock"),
        ("r&b", "R&B"),
        ("contemporary r&b", "Contemporary R&B"),
        ("rock and roll", "Rock and Roll"),
        ("children's music", "Children's Music"),
        ("música popular", "Música Popular"),
        ("edm", "EDM"),
        ("a cappella", "A Cappella"),
        ("Already Written", "Already Written"),
        ("kawaii フューチャー", "Kawaii フューチャー"),
        ("éire", "Éire"),
    ],
)
def test_capitals(genre, spelled):
    assert Spelling()(genre) == spelled


def test_a_tree_in_the_format_of_beets(tmp_path):
    file = tmp_path / "tree.yaml"
    file.write_text("- african:\n    - african heavy metal\n    - kwaito\n- rock:\n    - punk:\n        - 77\n- ska\n")
    tree = read_tree(file)
    assert len(tree) == 7
    assert tree.line("Kwaito") == ("kwaito", "african")
    assert tree.line("77") == ("77", "punk", "rock")
    assert tree.line("ska") == ("ska",)
    assert tree.line("polka") == ("polka",)


def test_the_real_tree_of_beets():
    beets = importlib.util.find_spec("beetsplug")
    if beets is None:
        pytest.skip("there is no beets")
    (folder,) = beets.submodule_search_locations
    tree = read_tree(Path(folder, "lastgenre", "genres-tree.yaml"))
    assert tree.line("Doom Metal")[-1] == "rock"
    assert len(tree) > 500


@pytest.mark.parametrize(
    ("read", "content", "sentence"),
    [
        (read_tree, "", "is no tree of genres"),
        (read_tree, "just words: {a: !!python/object:os.system {}}", "is no YAML"),
        (read_tree, "- [unclosed", "is no YAML"),
        (read_tree, "- 2001-01-01", "is no tree of genres"),
        (read_names, "# nothing\n\n", "has no genres"),
        (read_aliases, "- a\n- b\n", "has no aliases"),
        (read_aliases, "rock: [a]", "has no aliases"),
    ],
)
def test_files_that_are_none_are_refused(read, content, sentence, tmp_path):
    file = tmp_path / "file"
    file.write_text(content)
    with pytest.raises(InputError, match=sentence):
        read(file)
    for bad in (tmp_path / "gone", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read(bad)
    file.write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="is not UTF-8"):
        read(file)


def test_aliases_and_names_are_read(tmp_path):
    file = tmp_path / "file"
    file.write_text("\ufeffHip  Hop: Hip-Hop\n'r & b': R&B\n", encoding="utf-8")
    assert read_aliases(file) == {"hip hop": "Hip-Hop", "r&b": "R&B"}
    file.write_text("# ours\nRock\n\n Hip Hop \n")
    assert read_names(file) == ["Rock", "Hip Hop"]
