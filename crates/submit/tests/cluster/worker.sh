#!/bin/bash
# Stands in for `tunebench study FILE --out OUT --worker` and for the join: the study file is lines of
# `PIECE PARENT STEPS`, a step takes a tenth of a second, and what happens is appended to OUT/events.
set -eu

command=$1
shift
if [ "$command" = report ]; then
  [ -e "$1/joined" ]
  touch "$1/report"
  exit
fi
file=$1 out=$3 what=$4
mkdir -p "$out/claims" "$out/steps" "$out/done"
event() { echo "$(date +%s.%N) $* $(hostname) ${SLURM_RESTART_COUNT:-0}" >> "$out/events"; }

if [ "$what" = --join ]; then
  while read -r piece _ _; do [ -e "$out/done/$piece" ]; done < "$file"
  event join all
  touch "$out/joined"
  exit
fi
[ "$*" = "$file --out $out --worker --models 1 --leave-judging --engine fast it's" ] || { echo "what is: $*"; exit 2; }
[ "$RAYON_NUM_THREADS" = 1 ] || exit 2

# Taken, unless its holder has not been heard of for two seconds.
claim() {
  mkdir "$out/claims/$1" 2>/dev/null && return
  local age=$(($(date +%s) - $(stat -c %Y "$out/claims/$1")))
  [ "$age" -gt 2 ] && touch "$out/claims/$1"
}

while read -r piece parent steps; do
  [ -e "$out/done/$piece" ] && continue
  [ "$parent" = - ] || [ -e "$out/done/$parent" ] || continue
  claim "$piece" || continue
  event start "$piece"
  stopped=
  trap 'stopped=yes' TERM
  [ -e "$out/steps/$piece" ] && before=$(wc -l < "$out/steps/$piece") || before=0
  for step in $(seq $((before + 1)) "$steps"); do
    sleep 0.1 || true
    echo "$step" >> "$out/steps/$piece"
    touch "$out/claims/$piece"
    if [ -n "$stopped" ]; then
      rmdir "$out/claims/$piece"
      event stop "$piece"
      exit 143
    fi
  done
  event done "$piece"
  touch "$out/done/$piece"
  exit 0
done < "$file"
