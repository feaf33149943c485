"""Holds launch/jobset.yaml to the schema of a released JobSet, unknown fields included, without a cluster.

    python scripts/check_jobset.py jobset.x-k8s.io_jobsets.yaml

The argument is the custom resource's definition, config/components/crd/bases in the repository kubernetes-sigs/jobset.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import jsonschema
import yaml

MANIFEST = Path(__file__).resolve().parents[1] / "launch" / "jobset.yaml"
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
NAMED = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
CONFIG_MAP = {  # of the core, which no definition describes
    "type": "object",
    "required": ["metadata"],
    "properties": {
        "apiVersion": {"const": "v1"},
        "kind": {"const": "ConfigMap"},
        "metadata": NAMED,
        "data": TEXTS,
        "binaryData": TEXTS,
        "immutable": {"type": "boolean"},
    },
}


def closed(schema: Any) -> Any:
    """The schema, and no field beside those that it names."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {key: closed(part) for key, part in schema.items()}
    if isinstance(parts.get("properties"), dict) and not parts.get("x-kubernetes-preserve-unknown-fields"):
        parts.setdefault("additionalProperties", False)
    return parts


def schemas(definition: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """By apiVersion and kind."""
    spec = definition["spec"]
    found = {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): version["schema"]["openAPIV3Schema"]
        for version in spec["versions"]
    }
    for schema in found.values():
        schema["properties"]["metadata"] = {**NAMED, "additionalProperties": True}
    return {**found, ("v1", "ConfigMap"): CONFIG_MAP}


def faults(definition: Path, manifest: Path = MANIFEST) -> list[str]:
    """A line for each; none where the manifest is as the definition wants it."""
    known = schemas(yaml.safe_load(definition.read_text()))
    found = []
    for document in yaml.safe_load_all(manifest.read_text()):
        kind = document["apiVersion"], document["kind"]
        if kind not in known:
            found.append(f"{' '.join(kind)} is none of {sorted(known)}")
            continue
        validator = jsonschema.Draft202012Validator(closed(known[kind]))
        found += [f"{kind[1]} {error.json_path}: {error.message}" for error in validator.iter_errors(document)]
    return found


def main() -> int:
    """Print the faults; 1 where there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("definition", type=Path)
    definition = parser.parse_args().definition
    try:
        found = faults(definition)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError):
        parser.error(f"{definition} is not the definition of a custom resource")
    print("\n".join(found) or f"{MANIFEST.name} is as the definition wants it")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
