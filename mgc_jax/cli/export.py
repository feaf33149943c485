"""``mgc-jax export``."""

from __future__ import annotations

import argparse

from data_pipeline.extras import needed
from mgc_jax.cli.arguments import add_model, local
from mgc_jax.cli.command import Command
from mgc_jax.cli.opening import load_model


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--out", type=local, required=True, metavar="DIR", help="a folder that is not there, or empty")
    licence = "of the weights, for the model card, e.g. apache-2.0 or cc-by-nc-4.0 (default: none is named)"
    parser.add_argument("--license", type=str.lower, default="unknown", metavar="NAME", help=licence)
    parser.add_argument("--onnx", action="store_true", help="write the model as ONNX files too (extras torch and onnx)")


def _run(options: argparse.Namespace) -> None:
    from mgc_jax.export import folder, subject

    folder.check_free(options.out)
    licence = subject.check_licence(options.license)
    if options.onnx:
        with needed("--onnx", "torch", "onnx"):
            from mgc_jax.torch_reference import onnx_file
    model = load_model(options.workdir)
    write_onnx = onnx_file.writer(model) if options.onnx else None
    for remark in folder.export(model, options.out, licence=licence, write_onnx=write_onnx):
        print(remark)
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(f"The model of step {int(model.state.step)} is in {options.out} ({size / 2**20:.0f} MiB)")


COMMAND = Command(
    "export",
    help="write a model as a folder of its own: weights, StableHLO program, constants, model card",
    example="mgc-jax export --workdir run --out model",
    add_arguments=_add_arguments,
    run=_run,
    on_devices=True,
)
