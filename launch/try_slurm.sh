#!/usr/bin/env bash
# Makes this machine a SLURM cluster of one node, and trains on it with launch/slurm.sbatch: two processes that find each
# other, a job that is told to end and goes back into the queue, and the run that goes on where it was.
#
#   launch/try_slurm.sh DIR    as root, with slurm-wlm and munge installed, mgc-jax on the PATH, from the repository
#
# DIR, a new folder, gets the cluster's files, a small corpus and the run; what it started is ended when it ends.
set -euo pipefail

TRY=$(mkdir "$1" && cd "$1" && pwd)
NODE=$(hostname -s)
export JAX_PLATFORMS=cpu SLURM_CONF=$TRY/slurm.conf

started=()
end() {
    scancel --user=root 2>/dev/null || true
    kill "${started[@]}" 2>/dev/null || true
    wait
}
trap end EXIT

wait_for() {  # SECONDS COMMAND...: until it succeeds
    local left=$1
    shift
    until "$@"; do
        ((left-- > 0)) || { echo "waited in vain for: $*"; cat "$TRY"/mgc-jax-*.log; exit 1; }
        sleep 1
    done >&2
}

# ---- A cluster: a key, an accountant of nobody, a controller, a node that says it has 4 cores -----------------------

mkdir -m 700 "$TRY/munge" "$TRY/state" "$TRY/spool"
head -c 1024 /dev/urandom >"$TRY/munge/key"
chmod 400 "$TRY/munge/key"
cat >"$SLURM_CONF" <<END
ClusterName=try
SlurmctldHost=$NODE(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$TRY/munge/socket,cred_expire=5
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=120
StateSaveLocation=$TRY/state
SlurmdSpoolDir=$TRY/spool
SlurmctldPidFile=$TRY/slurmctld.pid
SlurmdPidFile=$TRY/slurmd.pid
SlurmctldLogFile=$TRY/slurmctld.log
SlurmdLogFile=$TRY/slurmd.log
NodeName=$NODE NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
END
munged --foreground --force --key-file="$TRY/munge/key" --socket="$TRY/munge/socket" --pid-file="$TRY/munge/pid" \
    --log-file="$TRY/munge/log" --seed-file="$TRY/munge/seed" &
started+=($!)
wait_for 10 test -S "$TRY/munge/socket"
slurmctld -D &
started+=($!)
slurmd -D &
started+=($!)
idle() { sinfo --noheader --format=%t | grep -qx idle; }
wait_for 60 idle

# ---- What to train ---------------------------------------------------------------------------------------------------

cat >"$TRY/recipe.py" <<'END'
"""The demo's recipe, small: mgc-jax train --config recipe.py --data DIR --workdir W"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "data": {"min_genre_tracks": 3},
            "audio": {"seconds": 3.0, "hop_length": 512},
            "lyrics": {"encoder": "minilm", "max_tokens": 16, "input": "features"},
            "model": {"audio_preset": "narrow", "width": 16, "heads": 2, "gcn_hidden": 16},
            "train": {"epochs": 500, "batch_size": 16, "patience": 0, "evaluate_every_epochs": 100, "log_every_steps": 10},
        }
    )
END
mgc-jax corpus --tracks 64 --seconds 3 --out "$TRY/corpus"
mgc-jax prepare --config "$TRY/recipe.py" --source "$TRY/corpus" --out "$TRY/data"
mkdir -p "$TRY/venv/bin"
ln -s "$(command -v mgc-jax)" "$TRY/venv/bin/mgc-jax"
touch "$TRY/venv/installed"

# ---- The job, as it stands, with CPU settings by its options and variables ---------------------------------------------

job=$(CONFIG=$TRY/recipe.py DATA=$TRY/data WORKDIR=$TRY/run VENV=$TRY/venv sbatch --parsable --nodes=1 \
    --ntasks-per-node=2 --cpus-per-task=1 --gpus-per-node=0 --time=20 --output="$TRY/mgc-jax-%j.log" --export=ALL \
    launch/slurm.sbatch)
echo "job $job is in the queue"
log=$TRY/mgc-jax-$job.log
state() { scontrol show job "$job" | grep -oE '(JobState|Reason|Restarts)=[^ ]*' | xargs; }
reached() { grep -q '"step": [1-9][0-9]' "$TRY/run/metrics.jsonl" 2>/dev/null; }
wait_for 300 reached

restarts() { scontrol show job "$job" | grep -q "Restarts=$1"; }
resumed() { [[ $(grep -c "training: steps [1-9][0-9]* to" "$log") == "$1" ]]; }

echo "SIGTERM to the tasks, as before the time is up: $(state)"
scancel --signal=TERM "$job"
wait_for 120 restarts 1
echo "in the queue again: $(state)"
wait_for 300 resumed 2
sleep 10

echo "pre-empted: $(state)"
scontrol requeue "$job"
wait_for 120 restarts 2
echo "in the queue again: $(state)"
wait_for 300 resumed 3
ended() { scontrol show job "$job" | grep -q "JobState=COMPLETED"; }
wait_for 600 ended
echo "done: $(state)"
cat "$log"
