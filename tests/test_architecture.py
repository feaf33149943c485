"""The picture of the rooms: what is read off the imports, and in which storeys it is drawn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from scripts import architecture

NEEDS = {"top": {"left", "ground"}, "left": {"ground"}, "right": {"ground"}, "ground": set()}
ROOMS = {name: frozenset(needs) for name, needs in NEEDS.items()}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def package(tmp_path):
    write(
        tmp_path / "house",
        {
            "__init__.py": "",
            "attic/__init__.py": '"""Where it is warm.\n\nAnd dusty."""\n',
            "attic/box.py": "def open():\n    from house.cellar import shelf\n",
            "attic/chest.py": "from house import stairs",
            "cellar/__init__.py": '"""Where it is cold."""\nif TYPE_CHECKING:\n    from house.attic import box\n',
            "cellar/shelf.py": "import numpy",
            "stairs.py": '"""Up and down."""\nimport house.cellar.shelf\n',
        },
    )
    return tmp_path / "house"


def test_rooms_are_folders_and_files_with_what_they_import_lazily_or_not(package):
    rooms = architecture.rooms(package)
    assert {name: set(room.needs) for name, room in rooms.items()} == {
        "attic": {"cellar", "stairs"},
        "cellar": set(),
        "stairs": {"cellar"},
    }
    assert rooms["attic"] == ("Where it is warm.", ("box.py", "chest.py"), rooms["attic"].needs)
    assert rooms["stairs"].files == ()


def test_a_room_stands_above_all_that_it_needs():
    assert architecture.storeys(ROOMS) == {"ground": 0, "left": 1, "right": 1, "top": 2}


def test_an_arrow_that_follows_from_others_is_left_out():
    arrows = architecture.essential(ROOMS, architecture.storeys(ROOMS))
    assert arrows == [("left", "ground"), ("right", "ground"), ("top", "left")]


def test_the_picture_shows_every_room_and_the_table_what_it_is_for(package):
    drawn = architecture.picture(package)
    texts = {element.text for element in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    assert {"attic", "cellar", "stairs"} <= texts
    assert 'class="up"' not in drawn
    first = architecture.table(package).splitlines()[2]
    assert first == "| `attic/` | Where it is warm. | `box` `chest` |"


def test_a_circle_is_drawn_as_an_arrow_up(package):
    (package / "cellar" / "shelf.py").write_text("import house.stairs")
    assert len(re.findall('class="up"', architecture.picture(package))) == 1


@pytest.mark.parametrize("name", ["mgc_jax", "data_pipeline"])
def test_no_arrow_of_the_project_runs_up(name):
    assert 'class="up"' not in architecture.picture(architecture.ROOT / name)
