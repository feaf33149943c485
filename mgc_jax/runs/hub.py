"""An exported model on the Hugging Face hub, by the hub's own client: fetched and pushed."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_pipeline.errors import InputError
from data_pipeline.storage.json_file import read_json

ADDRESS = re.compile(r"hf://(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w-][\w./-]*))?/?")
REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
NEEDED = ("config.json", "genres.json")
"""What makes a repository one of ours: looked at before anything large is downloaded."""
EXPORTED = (*NEEDED, "model.safetensors", "README.md")
PROGRAMS = ("model.stablehlo", "lyrics_encoder.onnx", "head.onnx")
PUBLISHED = (*EXPORTED, "thresholds.json", "preprocessing.json", *PROGRAMS, "encoder/*", "audio_encoder/*")
"""What is uploaded, besides evaluations: not what came into the folder later, such as a report with music in it."""
FIRST_ANSWER = 10.0  # s; a hub that has said nothing by then is not there
LATER_ANSWER = 60.0  # s; it takes its time over a commit of many files
ATTEMPTS = 3
LOG_IN = "log in with hf auth login, or set HF_TOKEN"


def fetch(address: str, wanted: Sequence[str]) -> Path:
    """The folder of this machine that holds a copy of ``hf://user/name[@revision]``, downloaded where it is missing.

    Copied is what fits a pattern of ``wanted``, into the cache of the hub's client. Where the hub does not answer, an
    earlier copy does.

    Raises:
        InputError: no such address, repository or revision, one that holds no model of this program, or a hub that
            does not answer.
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise InputError(f"{address!r} is no address on the hub; write hf://user/name or hf://user/name@revision.")
    repo, revision = match["repo"], match["revision"]
    import huggingface_hub

    with _one_sentence(address, "fetched"), _limited(FIRST_ANSWER):
        try:
            info = huggingface_hub.HfApi().model_info(repo, revision=revision, timeout=FIRST_ANSWER)
        except Exception as error:
            copy = None if _was_answered(error) else _earlier_copy(repo, revision, wanted)
            if copy is None:
                raise
            print(f"The hub does not answer; {address} is the copy on this machine, in {copy}")
            return copy
        names = {file.rfilename for file in info.siblings or ()}
        if missing := [name for name in NEEDED if name not in names]:
            raise InputError(f"{address} holds no model of mgc-jax ({', '.join(missing)} is missing).")
        return Path(huggingface_hub.snapshot_download(repo, revision=revision, allow_patterns=list(wanted)))


def push(folder: Path, repo: str, *, private: bool = False) -> str:
    """Upload an exported folder into ``user/name``, which is made where it is not there; returns its ``hf://`` address.

    What ``mgc-jax export`` did not write stays here.

    Raises:
        InputError: a name that cannot be one, a folder that is no exported model, nobody logged in, or a hub that does
            not take it.
    """
    if REPO.fullmatch(repo) is None:
        raise InputError(f"{repo!r} cannot be a repository on the hub; write user/name.")
    if missing := [name for name in EXPORTED if not (folder / name).is_file()]:
        raise InputError(f"{folder} is no exported model ({missing[0]} is missing); make one with mgc-jax export.")
    import huggingface_hub

    api = huggingface_hub.HfApi()
    with _one_sentence(f"hf://{repo}", "written"):
        with _limited(FIRST_ANSWER):
            api.whoami()
        with _limited(LATER_ANSWER):
            api.create_repo(repo, private=private, exist_ok=True)
            if private and not api.model_info(repo).private:
                raise InputError(f"hf://{repo} is there already, and everybody can see it: make it private on the hub.")
            message = f"Upload {folder.absolute().name} with mgc-jax"
            files = [*PUBLISHED, *(file.name for file in folder.glob("evaluation_*.json") if _names_no_folder(file))]
            api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message, allow_patterns=files)
    return f"hf://{repo}"


def _names_no_folder(evaluation: Path) -> bool:
    """Whether it is as it was exported, and not of a data set of this machine that it names."""
    try:
        return "data" not in read_json(evaluation)
    except (OSError, ValueError, TypeError):
        return False


def _earlier_copy(repo: str, revision: str | None, wanted: Sequence[str]) -> Path | None:
    import huggingface_hub

    with contextlib.suppress(Exception):
        snapshot = huggingface_hub.snapshot_download(
            repo, revision=revision, allow_patterns=list(wanted), local_files_only=True
        )
        if all((Path(snapshot) / name).is_file() for name in NEEDED):
            return Path(snapshot)
    return None


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Bounds the wait for every answer: by itself the client waits for ever for some of them, and asks six times."""
    import huggingface_hub

    requests: Counter[tuple[str, str]] = Counter()

    def limit(request: Any) -> None:
        this = (request.method, str(request.url))
        requests[this] += 1
        if requests[this] > ATTEMPTS:
            raise TimeoutError(f"no answer to {ATTEMPTS} requests of {request.url.path}")
        timeouts = request.extensions.get("timeout") or {}
        kinds = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = {kind: min(timeouts.get(kind) or seconds, seconds) for kind in kinds}

    session = huggingface_hub.get_session()
    hooks = session.event_hooks
    session.event_hooks = {**hooks, "request": [*hooks["request"], limit]}
    try:
        yield
    finally:
        session.event_hooks = hooks


@contextlib.contextmanager
def _one_sentence(what: str, done: str) -> Iterator[None]:
    """Whatever the client raises becomes an InputError; its warnings of each retry are not shown, nor its bars where
    nobody watches."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    before, hide = logging.get_verbosity(), not (sys.stderr.isatty() or are_progress_bars_disabled())
    logging.set_verbosity_error()
    if hide:
        disable_progress_bars()
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of the hub, of its client, of the network, of the disk
        raise InputError(f"{what} cannot be {done}: {_reason(error)}.") from None
    finally:
        logging.set_verbosity(before)
        if hide:
            enable_progress_bars()


def _was_answered(error: Exception) -> bool:
    """Whether the hub itself said no; 500 and more is no answer."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status is not None and status < 500


def _reason(error: Exception) -> str:
    from huggingface_hub import constants, errors

    hub = constants.ENDPOINT
    status = getattr(getattr(error, "response", None), "status_code", None)
    line = (getattr(error, "server_message", None) or str(error).strip() or type(error).__name__).splitlines()[0]
    line = line[:200].rstrip(". ")
    if isinstance(error, errors.GatedRepoError):
        return f"its owner grants access to it one by one; ask for it on {hub}, then {LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{hub} has no such model, or it is private; check the name, or {LOG_IN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{hub} has no such revision of it; give a branch, a tag or a commit behind the @"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"nobody is logged in on this machine; {LOG_IN}"
    if status in (401, 403):
        return f"{hub} does not allow it ({status}: {line}); {LOG_IN}, with the right to do so"
    if status is not None:
        return f"{hub} answers {status} ({line}); try again later"
    if isinstance(error, OSError) and error.strerror:  # of this machine's disk
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return f"{hub} does not answer ({type(error).__name__}: {line}); check the network, or give the folder of a copy"
