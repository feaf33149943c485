"""The ``mgc-jax`` command: arguments in, one sentence out when they are wrong."""

from __future__ import annotations

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from data_pipeline.errors import InputError
from data_pipeline.schema import LYRICS_INPUTS, SPLITS
from mgc_jax.benchmark.sizes import SIZES
from mgc_jax.paper.sweeps import SWEEPS
from mgc_jax.runtime.signals import Stopped

if TYPE_CHECKING:
    from data_pipeline.prepare.workers import Run
    from data_pipeline.reading.prepared_data import PreparedData
    from mgc_jax.inference.predictor import Model

PICTURES = (".png", ".pdf", ".svg")
OVERRIDE = re.compile(r"--config\.([\w.]+)(?:=(.*))?$", re.DOTALL)
TOP = 10
ON_DEVICES = ("train", "evaluate", "predict", "explain", "serve", "reproduce", "benchmark", "export")


class _Parser(argparse.ArgumentParser):
    """argparse with one sentence instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when done, 2 for a person's mistake, 130 when interrupted, 143 when terminated."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    arguments, overrides = _take_overrides(arguments)
    options = _parser().parse_args(arguments)
    if overrides and not hasattr(options, "config"):
        return _refuse(f"{options.command} takes no --config settings.")
    options.overrides = overrides
    if getattr(options, "coordinator", None) is None:
        return _carry_out(options)
    from mgc_jax.runtime import processes

    try:
        hosts = processes.Hosts(options.coordinator, options.processes, options.process, options.timeout)
        return processes.run(hosts, lambda: _carry_out(options))
    except InputError as error:
        return _refuse(str(error))


def _carry_out(options: argparse.Namespace) -> int:
    try:
        if options.command in ON_DEVICES:
            from mgc_jax.runtime import compilation_cache

            compilation_cache.keep()
        options.run(options)
    except InputError as error:
        return _refuse(str(error))
    except Stopped as stopped:
        print(f"mgc-jax: {stopped}", file=sys.stderr)
        return 128 + stopped.signal_number
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a name too long, a folder of somebody else
        where = f"{error.filename}: " if error.filename is not None else ""
        return _refuse(f"{where}{error.strerror or error}.")
    except (MemoryError, RuntimeError) as error:  # of the host, of a device
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        hint = "; a smaller train.batch_size needs less" if hasattr(options, "config") else ""
        return _refuse(f"There is not enough memory ({str(error)[:200]}){hint}.")
    except KeyboardInterrupt:
        print("mgc-jax: interrupted; run the same command again to continue.", file=sys.stderr)
        return 130
    return 0


def _refuse(sentence: str) -> int:
    print(f"mgc-jax: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _at_least(lowest: int) -> Callable[[str], int]:
    """An argument's type: an integer that is not smaller."""

    def number(text: str) -> int:
        if int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text} is less than {lowest}")
        return int(text)

    number.__name__ = "int"
    return number


def _writable(text: str) -> Path:
    """An argument's type: a file that can be written, found out before the work and not after it."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder" if path.is_dir() else f"no folder {path.parent}")
    return path


def _picture(text: str) -> Path:
    """An argument's type: a picture that can be written."""
    if Path(text).suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text!r} must end in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}")
    return _writable(text)


def _local(text: str) -> Path:
    """An argument's type: a place on this machine's disk."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text} is not on this machine's disk: give a local folder and copy it, e.g. with gcloud storage cp -r or "
            "aws s3 sync"
        )
    return Path(_named(text))


def _place(text: str) -> str | Path:
    """An argument's type: a folder, or the address of one in a bucket."""
    return text if "://" in text else Path(_named(text))


def _named(text: str) -> str:
    if not text.strip():  # of which Path would make the folder that somebody is in
        raise argparse.ArgumentTypeError("the address is empty")
    return text


def _take_overrides(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split off ``--config.key=value`` and ``--config.key value``."""
    rest: list[str] = []
    overrides: list[str] = []
    waiting = False  # for the value of the last override
    for item in arguments:
        if match := OVERRIDE.match(item):
            key, value = match.groups()
            overrides.append(key if value is None else f"{key}={value}")
            waiting = value is None
        elif waiting and not item.startswith("--"):
            overrides[-1] += f"={item}"
            waiting = False
        else:
            rest.append(item)
            waiting = False
    return rest, overrides


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mgc-jax", description="Multi-label music genre classification from audio and lyrics.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, run: Callable[[Any], None], text: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    def add_config(sub: argparse.ArgumentParser, required: bool = True) -> None:
        text = "a recipe, e.g. configs/demo.py; change a setting with --config.train.epochs=5"
        sub.add_argument("--config", required=required, metavar="FILE[:ARG]", help=text)

    def add_model(sub: argparse.ArgumentParser) -> None:
        text = "a run's folder, or an address like gs://bucket/run"
        sub.add_argument("--workdir", type=_place, required=True, metavar="W", help=text)

    def add_hosts(sub: argparse.ArgumentParser) -> None:
        hosts = sub.add_argument_group("several hosts", "the same command on each of them")
        text = "auto on a TPU pod, in a SLURM step and in a Kubernetes job; HOST:PORT of process 0 elsewhere"
        hosts.add_argument("--coordinator", metavar="WHERE", help=text)
        hosts.add_argument("--processes", type=_at_least(1), metavar="N", help="how many there are")
        hosts.add_argument("--process", type=_at_least(0), metavar="I", help="which one this is, from 0 on")
        text = "how long a process may stay away (default %(default)s)"
        hosts.add_argument("--timeout", type=_at_least(1), default=300, metavar="SECONDS", help=text)

    corpus = command(
        "corpus",
        _corpus,
        "write a generated corpus in Music4All's layout: MP3 files, lyrics and tables",
        "mgc-jax corpus --out corpus --tracks 400 --seed 1",
    )
    corpus.add_argument("--out", type=_local, required=True, metavar="DIR")
    corpus.add_argument("--tracks", type=int, default=800, metavar="N")
    corpus.add_argument("--seed", type=int, default=0, metavar="S")
    corpus.add_argument("--seconds", type=float, default=30.0, metavar="T", help="length of each track in s")

    prepare = command(
        "prepare",
        _prepare,
        "decode, check and split a corpus and write the sharded data set",
        "mgc-jax prepare --config configs/manifest.py --source my_songs.csv --out data",
    )
    add_config(prepare)
    source = "a folder in Music4All's layout, or a manifest (.csv, .tsv, .jsonl)"
    prepare.add_argument("--source", type=_local, required=True, metavar="DIR_OR_MANIFEST", help=source)
    out = "a folder, or an address like gs://bucket/folder"
    prepare.add_argument("--out", type=_place, required=True, metavar="DIR", help=out)
    prepare.add_argument("--workers", type=_at_least(0), default=0, metavar="N", help="processes; 0 = one a core")
    beam = "work by Apache Beam with these pipeline options, e.g. --beam='--runner=DirectRunner --direct_num_workers=4'"
    prepare.add_argument("--beam", metavar="OPTIONS", help=beam)

    train = command(
        "train",
        _train,
        "train a model; resumes by itself when the workdir holds a checkpoint",
        "mgc-jax train --config configs/demo.py --data data --workdir run --config.train.epochs=5",
    )
    add_config(train)
    train.add_argument("--data", type=_place, required=True, metavar="DIR", help="what mgc-jax prepare wrote")
    train.add_argument("--workdir", type=_local, required=True, metavar="W")
    add_hosts(train)

    evaluate = command(
        "evaluate",
        _evaluate,
        "all metrics of a run on a split, overall and per genre",
        "mgc-jax evaluate --workdir run --data data --split test --json result.json",
    )
    add_model(evaluate)
    evaluate.add_argument("--data", type=_place, required=True, metavar="DIR")
    evaluate.add_argument("--split", default="test", metavar="SPLIT", help="train, validation or test")
    evaluate.add_argument("--json", type=_writable, metavar="FILE")
    add_hosts(evaluate)

    predict = command(
        "predict",
        _predict,
        "rank the genres of songs of any format and length",
        "mgc-jax predict --workdir run song.mp3 --lyrics song.txt",
    )
    add_model(predict)
    predict.add_argument("audio", type=Path, nargs="+", metavar="AUDIO")
    lyrics = "a text file; once for each AUDIO, in the same order, or not at all (- for a track without)"
    predict.add_argument("--lyrics", action="append", default=[], metavar="FILE", help=lyrics)
    predict.add_argument(
        "--top", type=_at_least(1), default=TOP, metavar="N", help="genres to print (default %(default)s)"
    )
    predict.add_argument("--json", type=_writable, metavar="FILE")

    explain = command(
        "explain",
        _explain,
        "say which seconds, words and related genres speak for the genres of a song",
        "mgc-jax explain --workdir run song.mp3 --lyrics song.txt --out explanation.png",
    )
    add_model(explain)
    explain.add_argument("audio", type=Path, metavar="AUDIO")
    explain.add_argument("--lyrics", metavar="FILE", help="a text file (- for none)")
    genres = "which genres (default: those that are predicted)"
    explain.add_argument("--genres", nargs="+", metavar="NAME", help=genres)
    explain.add_argument("--out", type=_picture, metavar="PICTURE", help=f"a file that ends in {', '.join(PICTURES)}")
    explain.add_argument("--json", type=_writable, metavar="FILE")

    report = command(
        "report",
        _report,
        "one HTML page about a run: curves, metrics, genres, calibration, worst mistakes with players, explanations",
        "mgc-jax report --workdir run --out report.html",
    )
    add_model(report)
    text = "which evaluation, validation or test as a rule (default %(default)s)"
    report.add_argument("--split", choices=SPLITS, default="test", metavar="SPLIT", help=text)
    report.add_argument(
        "--out", type=_writable, metavar="FILE", help="default W/report.html, or ./report.html where W is an address"
    )
    text = "the data set, if it is not where it was when the run was evaluated"
    report.add_argument("--data", type=_place, metavar="DIR", help=text)
    report.add_argument("--no-audio", action="store_true", help="without players and explanations: no music, no lyrics")

    reproduce = command(
        "reproduce",
        _reproduce,
        "train the rows of a table of the paper and set the results beside the paper's",
        "mgc-jax reproduce --sweep table2 --config configs/demo.py --data data --workdir runs/table2 --seeds 3",
    )
    reproduce.add_argument("--sweep", required=True, choices=SWEEPS, metavar="SWEEP", help=", ".join(SWEEPS))
    add_config(reproduce, required=False)
    reproduce.add_argument("--data", type=_place, required=True, metavar="DIR", help="what mgc-jax prepare wrote")
    reproduce.add_argument(
        "--workdir", type=_local, required=True, metavar="W", help="one folder for each row and seed"
    )
    reproduce.add_argument("--seeds", type=_at_least(1), default=1, metavar="K", help="runs of each row")
    split = "what is reported: validation or test (default %(default)s)"
    reproduce.add_argument("--split", choices=("validation", "test"), default="test", metavar="SPLIT", help=split)
    rows = "train only these rows, e.g. none a-l_scma; the others are reported as far as they are done"
    reproduce.add_argument("--rows", nargs="+", default=[], metavar="ROW", help=rows)

    benchmark = command(
        "benchmark",
        _benchmark,
        "time the training step on arrays of the true shapes, alone or side by side with PyTorch",
        "mgc-jax benchmark --size paper --against torch --json benchmark.json",
    )
    add_config(benchmark, required=False)
    benchmark.add_argument("--size", choices=SIZES, default="paper", metavar="SIZE", help=", ".join(SIZES))
    rows = "which rows (default: both)"
    benchmark.add_argument("--lyrics", choices=LYRICS_INPUTS, nargs="+", default=LYRICS_INPUTS, help=rows)
    benchmark.add_argument("--against", choices=("torch",), metavar="torch", help="the twin, on the same device")
    benchmark.add_argument("--rounds", type=_at_least(2), default=7, metavar="N", help="default %(default)s")
    benchmark.add_argument("--steps", type=_at_least(1), default=10, metavar="N", help="a round (default %(default)s)")
    benchmark.add_argument("--json", type=_writable, metavar="FILE")

    compile_ = command(
        "compile",
        _compile,
        "compile the training step for TPUs that are not there: arithmetic, memory traffic, memory",
        "mgc-jax compile --topology v5e:2x2 v5e:16x16 --size pod --lyrics features",
    )
    add_config(compile_, required=False)
    topologies = "one or more, e.g. v5e:16x16, v5p:4x4x4, v6e:2x2"
    compile_.add_argument("--topology", required=True, nargs="+", metavar="T", help=topologies)
    compile_.add_argument("--size", choices=SIZES, default="pod", metavar="SIZE", help=", ".join(SIZES))
    compile_.add_argument("--lyrics", choices=LYRICS_INPUTS, nargs="+", default=LYRICS_INPUTS, help=rows)
    compile_.add_argument("--json", type=_writable, metavar="FILE")

    serve = command(
        "serve",
        _serve,
        "a local web page where a song is dropped and gets its genres and their reasons",
        "mgc-jax serve --workdir run --port 7860",
    )
    add_model(serve)
    text = "who may reach it (default %(default)s: this machine alone)"
    serve.add_argument("--host", default="127.0.0.1", metavar="HOST", help=text)
    text = "0 for any that is free (default %(default)s)"
    serve.add_argument("--port", type=_at_least(0), default=7860, metavar="N", help=text)
    text = "the largest song that may be uploaded, in MiB (default %(default)s)"
    serve.add_argument("--max-megabytes", type=_at_least(1), default=50, metavar="N", help=text)
    serve.add_argument("--open", action="store_true", help="open the page in the browser")

    export = command(
        "export",
        _export,
        "write a model as a folder of its own: weights, StableHLO program, constants, model card",
        "mgc-jax export --workdir run --out model",
    )
    add_model(export)
    export.add_argument("--out", type=_local, required=True, metavar="DIR", help="a folder that is not there, or empty")
    licence = "of the weights, for the model card, e.g. apache-2.0 or cc-by-nc-4.0 (default: none is named)"
    export.add_argument("--license", type=str.lower, default="unknown", metavar="NAME", help=licence)
    export.add_argument("--onnx", action="store_true", help="write model.onnx too (extras torch and onnx)")

    push = command(
        "push",
        _push,
        "upload an exported model to the Hugging Face hub",
        "mgc-jax push --folder model --repo user/name --private",
    )
    push.add_argument("--folder", type=_local, required=True, metavar="DIR", help="what mgc-jax export wrote")
    push.add_argument("--repo", required=True, metavar="USER/NAME", help="made where it is not there")
    push.add_argument("--private", action="store_true", help="make it one that others cannot see")
    return parser


def _corpus(options: argparse.Namespace) -> None:
    from data_pipeline.sources import generated
    from mgc_jax.runtime.progress import Counter

    with Counter("tracks") as counter:
        generated.write_corpus(
            options.out,
            tracks=options.tracks,
            seed=options.seed,
            seconds=options.seconds,
            progress=lambda done, total: counter("corpus", done, total),
        )
    print(f"{options.tracks} tracks in {options.out}")


def _prepare(options: argparse.Namespace) -> None:
    from data_pipeline.prepare.pipeline import prepare
    from data_pipeline.sources import read_corpus
    from mgc_jax import config
    from mgc_jax.network import build
    from mgc_jax.runtime.progress import Counter

    settings = config.load(options.config, options.overrides)
    run = _beam(options.beam) if options.beam is not None else None
    encode = build.lyrics_encoder(settings) if settings.lyrics.input == "features" else None
    with Counter("tracks", upload="files") as counter:
        report = prepare(
            read_corpus(options.source),
            options.out,
            build.prepare_options(settings, workers=options.workers),
            encode=encode,
            run=run,
            progress=counter,
        )
    splits = ", ".join(f"{n} {name}" for name, n in report["splits"].items())
    print(f"{splits} tracks with {len(report['genres'])} genres in {options.out}")
    if left_out := report["tracks_read"] - report["tracks_kept"]:
        print(f"{left_out} tracks were left out; {options.out}/quarantine.tsv says why")


def _beam(pipeline_options: str) -> Run:
    try:
        from data_pipeline.prepare.beam import Beam
    except ImportError as error:
        raise InputError(f"--beam needs the extra beam ({error}); pip install -e '.[beam]'.") from None
    return Beam(pipeline_options)


def _open(place: str | Path, *, shards: bool = True) -> PreparedData:
    """The prepared data set, copied to this machine's disk where it is in a bucket, with all its ``shards``."""
    from data_pipeline.reading.prepared_data import PreparedData
    from mgc_jax.runtime.progress import Counter

    with Counter("files") as counter:
        data = PreparedData(place, functools.partial(counter, "download"))
    if isinstance(place, str):
        print(f"{place} is read from its copy in {data.path}")
    if shards:
        data.check_shards()
    return data


def _load(place: str | Path) -> Model:
    """The model of a run, copied to this machine's disk where it is in a bucket."""
    from mgc_jax.inference import predictor
    from mgc_jax.runtime.progress import Counter

    with Counter("files") as counter:
        model = predictor.load(place, functools.partial(counter, "download"))
    if isinstance(place, str):
        print(f"{place} is read from its copy in {model.folder.path}")
    return model


def _train(options: argparse.Namespace) -> None:
    from mgc_jax import config
    from mgc_jax.training.loop import train

    settings, data = config.load(options.config, options.overrides), _open(options.data)
    train(settings, data, options.workdir)


def _evaluate(options: argparse.Namespace) -> None:
    from mgc_jax.evaluation.evaluate import summary
    from mgc_jax.runs.workdir import write_json
    from mgc_jax.runtime import processes

    data = _open(options.data)
    if options.split not in data.split_sizes:
        raise InputError(f"There is no split {options.split}; {options.data} has {', '.join(data.split_sizes)}.")
    model = _load(options.workdir)
    report = model.evaluate(data, options.split)
    if not processes.is_first():
        return
    if options.json:
        write_json(options.json, report)
    print(summary(report))


def _report(options: argparse.Namespace) -> None:
    from mgc_jax.report import render
    from mgc_jax.runs import addresses
    from mgc_jax.runtime.progress import Counter

    data = _open(options.data, shards=False) if options.data else None
    with Counter("files") as counter:
        folder = addresses.local(options.workdir, functools.partial(counter, "download"))
    out = options.out or (Path() if isinstance(options.workdir, str) else folder) / "report.html"
    size, gaps = render.write(folder, options.split, out, data=data, players=not options.no_audio)
    for sentence in gaps:
        print(f"the page lacks something: {sentence}")
    print(f"{out} ({size / 1e6:.1f} MB)")


def _reproduce(options: argparse.Namespace) -> None:
    from mgc_jax import config
    from mgc_jax.paper import tables
    from mgc_jax.paper.reproduce import reproduce, select
    from mgc_jax.runs.workdir import write_json

    sweep = SWEEPS[options.sweep]
    only = select(sweep, options.rows) if options.rows else None
    settings, data = config.load(options.config, options.overrides), _open(options.data)
    options.workdir.mkdir(parents=True, exist_ok=True)

    name = options.sweep if options.split == "test" else f"{options.sweep}_{options.split}"

    def save(report: dict[str, Any]) -> None:
        write_json(options.workdir / f"{name}.json", report)
        (options.workdir / f"{name}.md").write_text(tables.markdown(report), "utf-8")
        tables.draw(report, options.workdir / f"{name}.png")

    report = reproduce(sweep, settings, data, options.workdir, options.seeds, only=only, split=options.split, save=save)
    print(tables.markdown(report))
    print(f"{options.workdir / name}.json, .md and .png")


def _benchmark(options: argparse.Namespace) -> None:
    from mgc_jax.benchmark import contenders, race, report, workload
    from mgc_jax.network import build
    from mgc_jax.runs.workdir import write_json

    if options.against:
        try:
            from mgc_jax.torch_reference import contenders as rivals
        except ImportError as error:
            raise InputError(f"--against torch needs the extra torch ({error}); pip install -e '.[torch]'.") from None
    rows: list[dict[str, Any]] = []
    loads = [workload.make(options.size, lyrics, options.config, options.overrides) for lyrics in options.lyrics]
    for load in loads:
        racers = contenders.ours(load)
        if options.against:
            racers += [rivals.SameWork(load), rivals.AsAUser(load)]
        rows += race.race(load, racers, rounds=options.rounds, steps=options.steps)
    result = report.of(options.size, build.compute_dtype(loads[0].config), options.rounds, options.steps, rows)
    if options.json:
        write_json(options.json, result)
    print(report.markdown(result))


def _compile(options: argparse.Namespace) -> None:
    import jax

    jax.config.update("jax_platforms", "cpu")  # no chip is asked for

    from mgc_jax.benchmark import report, topology, workload
    from mgc_jax.runs.workdir import write_json
    from mgc_jax.runtime.progress import Progress

    for lyrics in options.lyrics:  # settings that no program can have are refused before the first is compiled
        workload.make(options.size, lyrics, options.config, options.overrides, batches=0)
    wanted = [(name, lyrics) for name in options.topology for lyrics in options.lyrics]
    progress = Progress("compile", len(wanted), "programs")
    rows = []
    for name, lyrics in wanted:
        rows.append(topology.compile_for(name, options.size, lyrics, options.config, options.overrides))
        progress.update(1, f"{name}, {lyrics}")
        if options.json:
            write_json(options.json, {"size": options.size, "rows": rows})
    progress.close()
    print(report.compiled_markdown(options.size, rows))


def _serve(options: argparse.Namespace) -> None:
    try:
        from mgc_jax.web import server
    except ImportError as error:
        raise InputError(f"serve needs the extra page ({error}); pip install -e '.[page]'.") from None
    with server.listen(options.host, options.port) as listener:
        server.serve(_load(options.workdir), listener, megabytes=options.max_megabytes, browser=options.open)


def _export(options: argparse.Namespace) -> None:
    from mgc_jax.export import folder, subject
    from mgc_jax.network import build

    folder.check_free(options.out)
    licence = subject.check_licence(options.license)
    write_onnx = _onnx_writer() if options.onnx else None
    model = _load(options.workdir)
    if write_onnx and not build.uses_bert(model.config):
        raise InputError(
            f"--onnx goes by way of the PyTorch twin, which model.architecture {model.config.model.architecture} has "
            "not; leave --onnx away."
        )
    for remark in folder.export(model, options.out, licence=licence, write_onnx=write_onnx):
        print(remark)
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(f"The model of step {int(model.state.step)} is in {options.out} ({size / 2**20:.0f} MiB)")


def _onnx_writer() -> Any:
    try:
        from mgc_jax.torch_reference import onnx_file
    except ImportError as error:
        raise InputError(f"--onnx needs the extras torch and onnx ({error}); pip install -e '.[torch,onnx]'.") from None
    return onnx_file.write


def _push(options: argparse.Namespace) -> None:
    from mgc_jax.runs import hub

    print(f"{options.folder} is now {hub.push(options.folder, options.repo, private=options.private)}")


def _predict(options: argparse.Namespace) -> None:
    from mgc_jax.runs.workdir import write_json

    if options.lyrics and len(options.lyrics) != len(options.audio):
        raise InputError(
            f"{len(options.audio)} audio files but {len(options.lyrics)} lyrics: give one --lyrics for each, in "
            "order (- for a track without), or none."
        )
    lyrics = [_read_lyrics(file) for file in options.lyrics] or [None] * len(options.audio)
    model = _load(options.workdir)
    predictions, failures = [], []
    for file, text in zip(options.audio, lyrics, strict=True):
        try:
            prediction = model.predict(file, text)
        except InputError as error:  # the other files still get their genres
            failures.append(str(error))
            continue
        predictions.append(prediction.to_json())
        _print_prediction(prediction, options.top)
    if options.json:
        write_json(options.json, predictions)
    if failures:
        raise InputError(" ".join(failures))


def _read_lyrics(file: str | None) -> str | None:
    """The words of a file; ``-`` stands for none."""
    if file in (None, "-"):
        return None
    from data_pipeline.lyrics import LyricsError, read_lyrics_file

    try:
        return read_lyrics_file(Path(file))
    except LyricsError as error:
        raise InputError(f"{file}: {error}.") from None


def _explain(options: argparse.Namespace) -> None:
    from mgc_jax.explain.text import summary
    from mgc_jax.runs.workdir import write_json

    lyrics = _read_lyrics(options.lyrics)
    explanation = _load(options.workdir).explain(options.audio, lyrics, genres=options.genres)
    print(summary(explanation))
    if options.json:
        write_json(options.json, explanation.to_json())
    if options.out:
        explanation.figure().savefig(options.out, dpi=120)
        print(f"\n{options.out} shows it")


def _print_prediction(prediction: Any, top: int) -> None:
    heard = f"{prediction.windows} window{'s' * (prediction.windows != 1)}"
    read = f"{prediction.lyrics_tokens} lyric tokens" if prediction.lyrics_tokens else "no lyrics"
    print(f"{prediction.file} ({heard}, {read}): {', '.join(prediction.predicted)}")
    for name, score in prediction.ranked[:top]:
        mark = "*" if name in prediction.predicted else " "
        print(f"  {mark} {name:<24} {score:.3f} {'#' * round(40 * score)}")


if __name__ == "__main__":
    sys.exit(main())
