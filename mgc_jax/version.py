"""The version of the package, which weights and model cards carry."""

from __future__ import annotations

__version__ = "0.1.0"
