"""The rooms of a package, read off its imports: python scripts/architecture.py picture|table PACKAGE

A room is a folder of modules, or a single module, right under the package. ``picture`` prints an SVG with the rooms in
storeys, each above all that it imports; ``table`` prints Markdown with what each room is for, by its docstring.
"""

from __future__ import annotations

import argparse
import ast
import html
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
STOREY, BOX, LANE, GAP = 84, 42, 16, 22
"""Pixels: between storeys, a box's height, the width left for an arrow that passes a storey, between neighbours."""


class Room(NamedTuple):
    """``files`` are its modules; ``needs`` the other rooms that they import, at once or when they are called."""

    purpose: str
    files: tuple[str, ...]
    needs: frozenset[str]


def rooms(package: Path) -> dict[str, Room]:
    """The rooms of ``package`` by name."""
    places = [path for path in sorted(package.iterdir()) if path.suffix == ".py" or (path / "__init__.py").is_file()]
    names = {path.stem for path in places} - {"__init__"}
    found = {}
    for path in places:
        if path.stem not in names:
            continue
        files = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
        trees = [ast.parse(file.read_text("utf-8"), str(file)) for file in files]
        known = {name for tree in trees for name in imported(tree)}
        needs = {
            parts[1] for parts in (name.split(".") for name in known) if parts[0] == package.name and len(parts) > 1
        }
        purpose = (ast.get_docstring(trees[0]) or "").split("\n\n")[0].replace("\n", " ")
        modules = tuple(str(file.relative_to(path)) for file in files if file.stem != "__init__" and file != path)
        found[path.stem] = Room(purpose, modules, frozenset(needs & names - {path.stem}))
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """The full name of all that a module imports, wherever in it; what only type checkers import does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield from imported(node)


def storeys(needs: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """The storey of each room, from 0: one above the highest that it needs. A circle gets an arrow up."""
    level: dict[str, int] = {}
    while left := sorted(needs.keys() - level.keys()):
        waits = {name: needs[name] - level.keys() for name in left}
        free = [name for name in left if not waits[name]]
        free = free or [min(left, key=lambda name: (len(reachable(name, waits)), len(waits[name])))]
        level |= {name: 1 + max((level[other] for other in needs[name] if other in level), default=-1) for name in free}
    return level


def reachable(name: str, needs: Mapping[str, frozenset[str]]) -> set[str]:
    """All that ``name`` needs, or that those need."""
    found: set[str] = set()
    new = {name}
    while new:
        new = set().union(*(needs[other] for other in new)) - found
        found |= new
    return found


def essential(needs: Mapping[str, frozenset[str]], level: Mapping[str, int]) -> list[tuple[str, str]]:
    """The arrows that do not follow from others: a needs b, but nothing else that a needs does."""
    below = {name: {other for other in needs[name] if level[other] < level[name]} for name in needs}
    reach: dict[str, set[str]] = {}
    for name in sorted(needs, key=lambda name: level[name]):
        reach[name] = below[name].union(*(reach[other] for other in below[name]))
    indirect = {name: set().union(*(reach[other] for other in below[name])) for name in needs}
    return sorted((name, other) for name in needs for other in needs[name] if other not in indirect[name])


Place = tuple[str, ...]
"""What stands on a storey: (room,), or (room, other room, storey) where the arrow between them passes."""


def arrange(level: Mapping[str, int], arrows: Sequence[tuple[str, str]]) -> tuple[list[list[Place]], list[list[Place]]]:
    """The storeys from the ground up, ordered so that few arrows cross, and each arrow as its places."""
    paths: list[list[Place]] = []
    for upper, lower in arrows:
        between = range(level[upper] - 1, level[lower], -1)
        paths.append([(upper,), *((upper, lower, str(storey)) for storey in between), (lower,)])
    rows: list[list[Place]] = [[] for _ in range(max(level.values()) + 1)]
    for name in sorted(level):
        rows[level[name]].append((name,))
    for path in paths:
        for place in path[1:-1]:
            rows[int(place[2])].append(place)
    neighbours = linked(paths)
    position = {place: index / len(row) for row in rows for index, place in enumerate(row)}
    for _ in range(20):
        for row in [*rows, *reversed(rows)]:
            row.sort(key=lambda place: mean([position[other] for other in neighbours.get(place, [place])]))
            position |= {place: (index + 0.5) / len(row) for index, place in enumerate(row)}
    return rows, paths


def linked(paths: Sequence[Sequence[Place]]) -> dict[Place, list[Place]]:
    """The places that an arrow joins to each place."""
    found: dict[Place, list[Place]] = {}
    for path in paths:
        for a, b in itertools.pairwise(path):
            found.setdefault(a, []).append(b)
            found.setdefault(b, []).append(a)
    return found


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def box_width(place: Place) -> float:
    return LANE if len(place) > 1 else max(76.0, 9.2 * len(place[0]) + 22)


def centres(rows: Sequence[Sequence[Place]], paths: Sequence[Sequence[Place]]) -> dict[Place, float]:
    """The x of each place: near what it is joined to, and clear of its neighbours on the storey."""
    neighbours = linked(paths)
    x = {place: 0.0 for row in rows for place in row}
    for row in rows:
        spread(row, dict.fromkeys(row, 0.0), x)
    for _ in range(40):
        for row in [*rows, *reversed(rows)]:
            spread(row, {place: mean([x[other] for other in neighbours.get(place, [place])]) for place in row}, x)
    return x


def spread(row: Sequence[Place], wanted: Mapping[Place, float], x: dict[Place, float]) -> None:
    """Write into ``x`` the wanted places, moved apart as far as needed: half to the right, half to the left."""
    right, left = [wanted[place] for place in row], [wanted[place] for place in row]
    apart = [(box_width(a) + box_width(b)) / 2 + GAP for a, b in itertools.pairwise(row)]
    for i in range(1, len(row)):
        right[i] = max(right[i], right[i - 1] + apart[i - 1])
    for i in range(len(row) - 2, -1, -1):
        left[i] = min(left[i], left[i + 1] - apart[i])
    x |= {place: (a + b) / 2 for place, a, b in zip(row, left, right, strict=True)}


def picture(package: Path) -> str:
    """The rooms as boxes in storeys and what they need as arrows, as SVG."""
    found = rooms(package)
    needs = {name: room.needs for name, room in found.items()}
    level = storeys(needs)
    arrows = essential(needs, level)
    rows, paths = arrange(level, [(a, b) for a, b in arrows if level[a] > level[b]])
    x = centres(rows, paths)
    left = min(x[place] - box_width(place) / 2 for row in rows for place in row)
    width = max(x[place] + box_width(place) / 2 for row in rows for place in row) - left + 4
    height = STOREY * (len(rows) - 1) + BOX + 4

    def spot(place: Place) -> tuple[float, float]:
        storey = int(place[2]) if len(place) > 1 else level[place[0]]
        return x[place] - left + 2, STOREY * (len(rows) - 1 - storey) + BOX / 2 + 2

    lines = []
    for path in paths:
        curve = bent([spot(place) for place in path])
        lines.append(f'<path d="{curve}"><title>{path[0][0]} imports {path[-1][0]}</title></path>')
    for a, b in arrows:
        if level[a] <= level[b]:  # a circle: drawn so that it is seen
            (ax, ay), (bx, by) = spot((a,)), spot((b,))
            lines.append(f'<path class="up" d="M{ax:.0f} {ay - BOX / 2:.0f} L{bx:.0f} {by + BOX / 2:.0f}"/>')
    boxes = []
    for name, room in found.items():
        (cx, cy), wide = spot((name,)), box_width((name,))
        kind = "folder" if room.files else "file"
        boxes.append(
            f'<g class="{kind}"><title>{html.escape(room.purpose)}</title>'
            f'<rect x="{cx - wide / 2:.0f}" y="{cy - BOX / 2:.0f}" width="{wide:.0f}" height="{BOX}" rx="6"/>'
            f'<text x="{cx:.0f}" y="{cy + (-1 if room.files else 5):.0f}">{name}</text>'
            + (f'<text class="small" x="{cx:.0f}" y="{cy + 14:.0f}">{counted(room.files)}</text>' if room.files else "")
            + "</g>"
        )
    total = sum(map(len, needs.values()))
    title = (
        f"{package.name}: {len(found)} rooms on {len(rows)} storeys, {total} imports between them, {len(arrows)} drawn"
    )
    return "\n".join([
        f'<svg class="rooms" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'style="max-width: {width:.0f}px" aria-label="{title}">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        *lines,
        *boxes,
        "</svg>",
    ])  # fmt: skip


STYLE = """
.rooms { width: 100%; font-family: sans-serif }
.rooms path { fill: none; stroke: #8a94a6; stroke-width: 1.3; marker-end: url(#head) }
.rooms path:hover { stroke: #d9480f; stroke-width: 2.5 }
.rooms .tip { fill: #8a94a6; stroke: none }
.rooms .up { stroke: #c92a2a; stroke-dasharray: 5 3 }
.rooms rect { fill: #e8eaf6; stroke: #3f51b5 }
.rooms .file rect { fill: #ffffff }
.rooms text { font-size: 15px; font-weight: 600; text-anchor: middle; fill: #1a237e }
.rooms .small { font-size: 12px; font-weight: 400; fill: #5c6370 }
"""


def counted(files: Sequence[str]) -> str:
    return f"{len(files)} file{'s' * (len(files) != 1)}"


def bent(points: Sequence[tuple[float, float]]) -> str:
    """A path from the lower edge of the first box to the upper edge of the last."""
    (x, y), *rest = points
    y += BOX / 2
    path = f"M{x:.0f} {y:.0f}"
    for index, (to_x, to_y) in enumerate(rest):
        last = index == len(rest) - 1
        end = to_y - BOX / 2
        middle = (y + end) / 2
        path += f" C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {end:.0f}"
        if not last:
            path += f" L{to_x:.0f} {to_y + BOX / 2:.0f}"
        x, y = to_x, to_y + BOX / 2
    return path


def table(package: Path) -> str:
    """What each room is for and which files it has, the highest storey first, as Markdown."""
    found = rooms(package)
    level = storeys({name: room.needs for name, room in found.items()})
    lines = ["| room | is for | files |", "|---|---|---|"]
    for name in sorted(found, key=lambda name: (-level[name], name)):
        room = found[name]
        shown = f"`{name}/`" if room.files else f"`{name}.py`"
        files = " ".join(f"`{Path(file).with_suffix('')}`" for file in room.files if file.endswith(".py"))
        lines.append(f"| {shown} | {room.purpose} | {files} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("picture", "table"))
    parser.add_argument("package", choices=("mgc_jax", "data_pipeline"))
    options = parser.parse_args()
    print({"picture": picture, "table": table}[options.what](ROOT / options.package))
