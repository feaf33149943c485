"""What need not be installed: the extras of ``pyproject.toml``, and the one sentence for where one is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from data_pipeline.errors import InputError

MODULES = {
    "formats": ("av",),
    "tags": ("mutagen",),
    "train": ("tensorflow", "tensorflow_datasets", "iterstrat", "tensorboardX"),
    "torch": ("torch", "transformers"),
    "onnx": ("onnx", "onnxscript"),
    "beam": ("apache_beam",),
    "page": ("gradio", "fastapi", "fastapi_offline", "prometheus_client", "uvicorn"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "cuda": ("jax_cuda12_plugin",),
    "tpu": ("libtpu",),
}
"""What the program imports of each extra."""


def check(what: str, extra: str) -> None:
    """Find out before the work, and without importing anything, that the ``extra`` is installed, which ``what`` needs.

    Raises:
        InputError: it is not; with the installation's command.
    """
    for module in MODULES[extra]:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:  # None: a folder of that name, such as wandb's own for its runs
            raise missing(what, (extra,), f"no {module}")


@contextmanager
def needed(what: str, *extras: str) -> Iterator[None]:
    """Imports in this context are there where all ``extras`` are installed; where not, say that ``what`` needs them.

    Raises:
        InputError: in place of an ImportError, with the installation's command.
    """
    try:
        yield
    except ImportError as error:
        raise missing(what, extras, str(error)) from None


def missing(what: str, extras: tuple[str, ...], reason: str) -> InputError:
    """The sentence itself: ``what`` needs these ``extras``, of which something is missing for this ``reason``."""
    noun = "extra" if len(extras) == 1 else "extras"
    return InputError(
        f"{what} needs the {noun} {' and '.join(extras)} ({reason}); pip install 'mgc-jax[{','.join(extras)}]'."
    )
