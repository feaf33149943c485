#!/usr/bin/env bash
# Trains on a TPU slice of Google Cloud: one VM for each host, the same command on all of them.
#
#   launch/tpu_pod.sh create    the slice, with the committed state of this repository installed on every host
#   launch/tpu_pod.sh train     starts the run; the same again resumes it
#   launch/tpu_pod.sh delete    the slice, which is paid for until then
#
# With --dry-run before the word the commands are printed and not run. The settings below can also be given like
# NAME=other launch/tpu_pod.sh train.
set -euo pipefail

PROJECT=${PROJECT:-my-project}
ZONE=${ZONE:-us-west4-a}
NAME=${NAME:-mgc-jax}
ACCELERATOR=${ACCELERATOR:-v5litepod-32}  # v5e, 32 chips: 128 tracks of the batch on each
IMAGE=${IMAGE:-v2-alpha-tpuv5-lite}       # of the VMs; goes with the accelerator
SHARE=${SHARE:-10.0.0.2:/share}           # an NFS export that all hosts reach, such as a Filestore instance; at /share
CONFIG=${CONFIG:-pod:4096}
DATA=${DATA:-/share/data/features}
WORKDIR=${WORKDIR:-/share/runs/pod}       # one folder for all hosts: each writes its part of a checkpoint
HOSTS=${HOSTS---coordinator=auto}

PYTHON=3.12  # the image's own is too old
ARCHIVE=${TMPDIR:-/tmp}/mgc-jax.tar.gz

usage() {
    echo "usage: launch/tpu_pod.sh [--dry-run] create|train|delete" >&2
    exit 2
}

run() {
    if [[ $dry ]]; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

tpu() {  # VERB ARGUMENT...
    run gcloud compute tpus tpu-vm "$1" --project="$PROJECT" --zone="$ZONE" "${@:2}"
}

everywhere() {  # COMMAND
    tpu ssh "$NAME" --worker=all --batch-size=all --command="set -e; $1"
}

dry=
if [[ ${1-} == --dry-run ]]; then
    dry=yes
    shift
fi
[[ $# == 1 ]] || usage
here=${BASH_SOURCE[0]}
[[ $here == */* ]] || here=./$here
cd "${here%/*}/.."

case $1 in
create)
    tpu create "$NAME" --accelerator-type="$ACCELERATOR" --version="$IMAGE"
    run git archive --format=tar.gz --prefix=mgc-jax/ --output="$ARCHIVE" HEAD
    tpu scp "$ARCHIVE" "$NAME:mgc-jax.tar.gz" --worker=all
    everywhere "tar -xzf mgc-jax.tar.gz; cd mgc-jax
        python3 -m pip install -q --user uv
        ~/.local/bin/uv venv -q --allow-existing --python $PYTHON .venv
        ~/.local/bin/uv pip install -q -c constraints/py${PYTHON/./}.txt '.[train,tpu]'
        sudo apt-get -qq update; sudo apt-get -qq install -y nfs-common"
    ;;
train)
    everywhere "sudo mkdir -p /share; mountpoint -q /share || sudo mount -t nfs $SHARE /share
        cd mgc-jax
        .venv/bin/mgc-jax train --config $CONFIG --data $DATA --workdir $WORKDIR $HOSTS"
    ;;
delete)
    tpu delete "$NAME" --quiet
    ;;
*)
    usage
    ;;
esac
