"""The launchers start one and the same command on every host: seen in dry runs, without a cloud, a cluster or SLURM."""

import json
import math
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from data_pipeline.errors import InputError
from mgc_jax import cli
from mgc_jax.config import recipes
from scripts import check_jobset

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "launch"
SCRIPTS = [LAUNCH / "tpu_pod.sh", LAUNCH / "slurm.sbatch", LAUNCH / "try_slurm.sh", ROOT / "scripts" / "demo.sh"]
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))
BASH = shutil.which("bash") or "bash"
RECORD = '#!/bin/sh\nprintf "%s\\0" "$0" "$@" "END" >> "$CALLS"\n'
HOSTS = "--coordinator=auto"


def bash(script: Path, *arguments: str, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script with nothing in its environment but ``variables``: without a PATH it can run no command at all."""
    environment = {"PATH": "/nonexistent"} | variables
    return subprocess.run([BASH, script, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def fake(folder: Path, name: str, text: str = RECORD) -> None:
    """A command of that name; as it stands it only writes down how it was called."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def recorded(calls: Path) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in calls.read_text().split("\0")[:-1]:
        found[-1].append(word)
        if word == "END":
            found[-1] = [Path(found[-1][0]).name, *found[-1][1:-1]]
            found.append([])
    return found[:-1]


def check_training(words: list[str], data: str, workdir: str) -> None:
    """``mgc-jax train`` with the pod's recipe on all hosts, and every other word known to the command line."""
    assert Path(words[0]).name == "mgc-jax"
    assert words.count(HOSTS) == 1
    options = cli.parser().parse_args(words[1:])
    assert options.coordinator == "auto"
    assert options.command == "train"
    assert (str(options.data), str(options.workdir)) == (data, workdir)
    assert recipes.load(options.config).train.batch_size == 4096


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_scripts_are_sound_shell(script):
    assert subprocess.run([BASH, "-n", script], check=False).returncode == 0
    if SHELLCHECK:
        done = subprocess.run([SHELLCHECK, script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


# ---- The image of the server ---------------------------------------------------------------------------------------

IMAGE = (LAUNCH / "Dockerfile").read_text("utf-8")


def test_the_image_is_sound():
    if not HADOLINT:
        pytest.skip("no hadolint")
    done = subprocess.run([HADOLINT, LAUNCH / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_installs_and_starts_what_there_is():
    (entry,) = json.loads(re.search(r"^ENTRYPOINT (.*)$", IMAGE, re.MULTILINE)[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert entry in project["scripts"]
    options = cli.parser().parse_args(json.loads(re.search(r"^CMD (.*)$", IMAGE, re.MULTILINE)[1]))
    assert (options.command, options.host) == ("serve", "0.0.0.0")
    assert f"EXPOSE {options.port}\n" in IMAGE
    assert f"http://127.0.0.1:{options.port}/health" in IMAGE
    assert set(re.search(r"\.whl\)\[([\w,]+)\]", IMAGE)[1].split(",")) <= set(project["optional-dependencies"])
    (python,) = set(re.findall(r"^FROM python:3\.(\d+)-slim", IMAGE, re.MULTILINE))
    assert f"source=constraints/py3{python}.txt" in IMAGE
    assert (ROOT / "constraints" / f"py3{python}.txt").is_file()
    pretrained = re.search(r"^PRETRAINED := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[1]
    assert f"--no-deps {pretrained} " in IMAGE
    assert re.search(r"^USER [1-9]\d*$", IMAGE, re.MULTILINE)


def test_the_image_is_built_from_all_that_the_wheel_needs():
    taken = re.findall(r"^!(.*)$", (LAUNCH / "Dockerfile.dockerignore").read_text("utf-8"), re.MULTILINE)
    assert all((ROOT / name).exists() for name in taken)
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert {*wheel, "pyproject.toml", "LICENSE", configuration["project"]["readme"], "constraints"} == set(taken)


# ---- TPU VMs ------------------------------------------------------------------------------------------------------


def dry(*words: str, **variables: str) -> list[list[str]]:
    done = bash(LAUNCH / "tpu_pod.sh", "--dry-run", *words, **variables)
    assert done.returncode == 0, done.stderr
    # The shell reads its own quotation: a word with line breaks is printed as $'...'.
    reader = "\n".join(f"printf '%s\\0' {line}; printf '\\1'" for line in done.stdout.splitlines())
    printed = subprocess.run([BASH, "-c", reader], capture_output=True, text=True, check=True).stdout
    return [call.split("\0")[:-1] for call in printed.split("\1")[:-1]]


def test_a_dry_run_prints_the_commands_for_a_slice_and_runs_none(tmp_path):
    create, archive, copy, install = dry("create", PROJECT="p", ZONE="z", NAME="n", TMPDIR=str(tmp_path))
    where = ["--project=p", "--zone=z"]
    assert create[:7] == ["gcloud", "compute", "tpus", "tpu-vm", "create", *where]
    assert {"n", "--accelerator-type=v5litepod-32", "--version=v2-alpha-tpuv5-lite"} == set(create[7:])
    file = f"{tmp_path}/mgc-jax.tar.gz"
    assert archive[:2] == ["git", "archive"]
    assert f"--output={file}" in archive
    assert copy[4:] == ["scp", *where, file, "n:mgc-jax.tar.gz", "--worker=all"]
    assert install[4:9] == ["ssh", *where, "n", "--worker=all"]
    command = install[-1].removeprefix("--command=")
    assert ".[train,tpu]" in shlex.split(command)
    (constraints,) = [word for word in shlex.split(command) if word.startswith("constraints/")]
    assert (ROOT / constraints).is_file()
    assert list(tmp_path.iterdir()) == []
    (delete,) = dry("delete", NAME="n")
    assert delete[4] == "delete"
    assert "n" in delete


def test_all_hosts_of_a_slice_mount_the_share_and_train():
    (call,) = dry("train", SHARE="1.2.3.4:/music", DATA="/share/d", WORKDIR="/share/w")
    assert call[:5] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh"]
    assert "--worker=all" in call
    mount, _, train = call[-1].removeprefix("--command=").splitlines()
    assert mount.startswith("set -e; ")
    assert "mount -t nfs 1.2.3.4:/music /share" in mount
    check_training(shlex.split(train), "/share/d", "/share/w")


def test_the_commands_are_those_that_are_run(tmp_path):
    fake(tmp_path / "bin", "gcloud")
    variables = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")}
    for word in ("train", "delete"):
        assert bash(LAUNCH / "tpu_pod.sh", word, **variables).returncode == 0
    assert recorded(tmp_path / "calls") == dry("train") + dry("delete")


@pytest.mark.parametrize("words", [[], ["--dry-run"], ["start"], ["train", "delete"]])
def test_another_word_is_answered_with_the_usage(words):
    done = bash(LAUNCH / "tpu_pod.sh", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


# ---- GKE ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents():
    """The ConfigMap and the JobSet."""
    return list(yaml.safe_load_all((LAUNCH / "jobset.yaml").read_text("utf-8")))


@pytest.fixture(scope="module")
def job(documents):
    settings, jobset = documents
    assert (settings["apiVersion"], settings["kind"]) == ("v1", "ConfigMap")
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (slice_,) = jobset["spec"]["replicatedJobs"]
    assert slice_["replicas"] == 1
    return slice_["template"]["spec"]


def test_the_jobset_has_a_pod_for_every_host_and_asks_for_all_chips_of_its_slice(job):
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert set(container["resources"]["limits"]) == {"google.com/tpu"}
    chips = container["resources"]["limits"]["google.com/tpu"]
    selector = pod["nodeSelector"]
    assert selector["cloud.google.com/gke-tpu-accelerator"] == "tpu-v5-lite-podslice"
    topology = math.prod(map(int, selector["cloud.google.com/gke-tpu-topology"].split("x")))
    assert job["completions"] == job["parallelism"] == topology // chips
    assert topology % chips == 0
    assert job["completionMode"] == "Indexed"
    assert job["backoffLimit"] == 0  # one host alone cannot start again
    assert pod["restartPolicy"] == "Never"


def test_the_table_of_slices_in_the_jobset_counts_hosts_of_four_chips():
    text = (LAUNCH / "jobset.yaml").read_text("utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("#   4x4 -> ")]
    pairs = [pair.split(" -> ") for pair in line.strip("# ").split("   ")]
    assert len(pairs) == 5
    for topology, hosts in pairs:
        assert math.prod(map(int, topology.split("x"))) == 4 * int(hosts)


def test_every_pod_installs_from_the_share_and_trains(documents, job, tmp_path):
    settings, jobset = documents
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
    assert mount["name"] == volume["name"]
    assert settings["data"]["DATA"].startswith(f"{mount['mountPath']}/")
    assert settings["data"]["WORKDIR"].startswith(f"{mount['mountPath']}/")
    # The container's own shell, with its commands replaced by ones that write down how they were called.
    for name in ("cp", "pip", "mgc-jax"):
        fake(tmp_path / "bin", name)
    (script,) = container["args"]
    program, flags = container["command"]
    command = [program, flags, script.replace("cd /tmp/mgc-jax", f"cd {tmp_path}")]
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"), **settings["data"]}
    subprocess.run(command, env=environment, check=True)
    copy, install, train = recorded(tmp_path / "calls")
    assert copy == ["cp", "-r", "/share/mgc-jax", "/tmp/mgc-jax"]
    assert install[0] == "pip"
    assert install[-1] == ".[train,tpu]"
    assert (ROOT / install[install.index("-c") + 1]).is_file()
    check_training(train, settings["data"]["DATA"], settings["data"]["WORKDIR"])
    assert jobset["metadata"]["name"] == "mgc-jax"


# ---- SLURM --------------------------------------------------------------------------------------------------------


def sbatch_options() -> dict[str, str]:
    lines = (LAUNCH / "slurm.sbatch").read_text("utf-8").splitlines()
    options = [line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines if line.startswith("#SBATCH")]
    return dict(options)


def test_slurm_starts_a_process_for_every_gpu():
    options = sbatch_options()
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    # Tasks that are given a GPU each would all call it number 0.
    assert not {"gpus-per-task", "gpu-bind"} & set(options)
    assert {"requeue", "nodes", "time"} <= set(options)


def test_the_first_job_installs_and_every_job_trains(tmp_path):
    site, calls = tmp_path / "site", tmp_path / "calls"
    site.mkdir()
    fake(tmp_path / "bin", "srun")
    python = '#!/bin/sh\nif [ "$1" = -c ]; then echo py312; else printf "%s\\0" "$0" "$@" END >> "$CALLS"; fi\n'
    # The fake python3 makes what -m venv makes: a folder with a python in it.
    made = f'mkdir -p "$3/bin"; cp "{tmp_path}/bin/venv-python" "$3/bin/python"\n'
    fake(tmp_path / "bin", "venv-python", python)
    fake(tmp_path / "bin", "python3", RECORD + made)
    variables = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(calls), "SLURM_SUBMIT_DIR": str(site)}
    for _ in range(2):
        done = bash(LAUNCH / "slurm.sbatch", DATA="d", WORKDIR="w", cwd=tmp_path, **variables)
        assert done.returncode == 0, done.stderr
    venv, install, train, again = recorded(calls)
    assert venv == ["python3", "-m", "venv", ".venv-cuda"]
    assert install[-1] == ".[train,cuda]"
    assert (ROOT / install[install.index("-c") + 1]).is_file()
    assert train == again
    assert train[0] == "srun"
    start = next(i for i, word in enumerate(train) if word.endswith("mgc-jax"))
    assert all(word.startswith("--") for word in train[1:start])
    check_training(train[start:], "d", "w")


@pytest.mark.parametrize("script", ["tpu_pod.sh", "slurm.sbatch"])
def test_the_flag_of_several_hosts_can_be_taken_away(script, tmp_path):
    if script == "tpu_pod.sh":
        assert HOSTS not in dry("train", HOSTS="")[0][-1]
        return
    fake(tmp_path / "bin", "srun")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "installed").touch()
    variables = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"), "HOSTS": ""}
    assert bash(LAUNCH / script, VENV=str(tmp_path / "venv"), cwd=tmp_path, **variables).returncode == 0
    (train,) = recorded(tmp_path / "calls")
    assert "" not in train
    assert HOSTS not in train


# ---- The recipe they start ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [16, 512, 4096])
def test_the_pods_learning_rate_grows_with_the_root_of_the_batch_and_warm_up_is_five_epochs(batch):
    settings = recipes.load(f"pod:{batch}")
    assert settings.train.batch_size == batch
    assert settings.train.learning_rate == pytest.approx(1e-4 * math.sqrt(batch / 16))
    assert settings.train.warmup_steps == pytest.approx(5 * 30_555 / batch, abs=1)
    assert (settings.train.optimiser, settings.lyrics.input) == ("lamb", "features")
    assert (settings.compute.placement, settings.compute.fsdp) == ("device", False)


@pytest.mark.parametrize("argument", ["many", "0", "-16", "1e3"])
def test_a_batch_that_is_none_is_one_sentence(argument):
    with pytest.raises(InputError, match="is not a usable recipe"):
        recipes.load(f"pod:{argument}")


JOBSET_CRD = """
spec:
  group: jobset.x-k8s.io
  names: {kind: JobSet}
  versions:
    - name: v1alpha2
      schema:
        openAPIV3Schema:
          type: object
          properties:
            apiVersion: {type: string}
            kind: {type: string}
            metadata: {type: object}
            spec:
              type: object
              properties:
                failurePolicy: {type: object, properties: {maxRestarts: {type: integer}}}
                replicatedJobs: {type: array, items: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("maxRestarts: 20", "maxRestarts: 20", []),
        ("maxRestarts: 20", "maxRestarts: many", ["JobSet $.spec.failurePolicy.maxRestarts: 'many' is not of type"]),
        ("maxRestarts", "restarts", ["JobSet $.spec.failurePolicy: Additional properties are not allowed ('restarts'"]),
        ("CONFIG: pod:4096", "CONFIG: 4096", ["ConfigMap $.data.CONFIG: 4096 is not of type 'string'"]),
        ("v1alpha2", "v9", ["jobset.x-k8s.io/v9 JobSet is none of"]),
    ],
)
def test_the_jobset_is_held_to_a_definition(tmp_path, right, wrong, said):
    """Of a made one here; the released one is an argument of the script."""
    definition, manifest = tmp_path / "crd.yaml", tmp_path / "jobset.yaml"
    definition.write_text(JOBSET_CRD)
    text = (LAUNCH / "jobset.yaml").read_text()
    assert right in text
    manifest.write_text(text.replace(right, wrong))
    found = check_jobset.faults(definition, manifest)
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


@pytest.mark.parametrize("text", [None, "", "a: [", "kind: List", "\0"])
def test_what_is_no_definition_is_an_error(tmp_path, monkeypatch, capsys, text):
    definition = tmp_path / "crd.yaml"
    if text is not None:
        definition.write_text(text)
    monkeypatch.setattr(sys, "argv", ["check_jobset.py", str(definition)])
    with pytest.raises(SystemExit) as stopped:
        check_jobset.main()
    assert stopped.value.code == 2
    assert "is not the definition of a custom resource" in capsys.readouterr().err
