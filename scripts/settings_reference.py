"""Stands in until the settings are dataclasses."""

print("| setting | default | |\n|---|---|---|\n| `train.epochs` | `100` | |")
