#!/usr/bin/env bash
# The whole path on generated music: corpus -> prepare -> train -> evaluate -> predict two test tracks -> explain one
# -> report -> one line; then the model that has heard real music.
# usage: scripts/demo.sh BIN DIR   (BIN: the virtual environment's bin; DIR: where everything is left)
set -euo pipefail
bin=$1 demo=$2
config=demo

say() { printf '\n$ %s\n' "$*"; "$@"; }

say "$bin/mgc-jax" corpus --out "$demo/corpus" --tracks 4000 --seconds 6
say "$bin/mgc-jax" prepare --config "$config" --source "$demo/corpus" --out "$demo/data"
say "$bin/mgc-jax" train --config "$config" --data "$demo/data" --workdir "$demo/run"
say "$bin/mgc-jax" evaluate --workdir "$demo/run" --data "$demo/data" --split test

# Two test tracks that have lyrics, with what the corpus says they are.
audios=() texts=()
while IFS=$'\t' read -r split _ id _ _ audio _; do
  lyrics=$demo/corpus/lyrics/$id.txt
  [ "$split" = test ] && [ -f "$lyrics" ] && [ "$(wc -c <"$lyrics")" -gt 200 ] || continue
  audios+=("$audio") texts+=(--lyrics "$lyrics")
  printf '\n%s is labelled: %s' "$audio" "$(awk -F'\t' -v id="$id" '$1 == id { print $2; exit }' "$demo/corpus/id_genres.csv")"
  [ ${#audios[@]} -lt 2 ] || break
done <"$demo/data/tracks.tsv"
echo
say "$bin/mgc-jax" predict --workdir "$demo/run" --top 5 "${audios[@]}" "${texts[@]}"
say "$bin/mgc-jax" explain --workdir "$demo/run" --out "$demo/explanation.png" "${audios[0]}" "${texts[@]:0:2}"
say "$bin/mgc-jax" report --workdir "$demo/run" --out "$demo/report.html"

printf '\n'
"$bin/python" - "$demo/run" <<'PYTHON'
import sys
from pathlib import Path
from mgc_jax.evaluation.results import evaluations
from mgc_jax.evaluation.text import headline
from mgc_jax.runs.workdir import Workdir
run = Workdir(Path(sys.argv[1]))
print(headline(evaluations(run.path, run.vocabulary().names)["test"]))
PYTHON
printf '\nThis model knows generated music only. musicnn is built in and has heard real songs, though none like this one:\n'
say "$bin/mgc-jax" predict --workdir musicnn --top 3 "${audios[0]}"
printf '\nTry a song of your own:\n  %s predict --workdir musicnn SONG.mp3\n' "$bin/mgc-jax"
