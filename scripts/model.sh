#!/bin/sh
# Do the rules of the protocol hold, and is each of them needed? Runs every line of docs/model/variants.txt through spin: what
# holds must hold over every state, what fails must give a counterexample. One line each: verdict, states, seconds.
set -eu
cd "$(dirname "$0")/../docs/model"
for program in spin gcc; do
  command -v "$program" >/dev/null 2>&1 && continue
  echo "model: error: $program is not installed" >&2
  echo "model: hint: sudo apt-get install spin gcc" >&2
  exit 69
done
work=$(mktemp -d "${TMPDIR:-/tmp}/assay-model.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# MODEL WANTED SWITCHES…: builds the search, runs it, and prints its line; 1 if it is not as wanted
one() {
  model=$1 wanted=$2
  shift 2
  place=$(mktemp -d "$work/run.XXXXXX")
  (cd "$place" && cp "$OLDPWD/$model.pml" . && spin -a "$@" "$model.pml" && gcc -O2 -w -DSAFETY -DNOREDUCE -DCOLLAPSE \
    -DMEMLIM=4000 -o pan pan.c && ./pan -m1000000 -n) >"$place/said" 2>&1 || true
  errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' "$place/said")
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$place/said")
  seconds=$(sed -n 's/.*elapsed time \([0-9.e+-]*\) seconds.*/\1/p' "$place/said")
  seen="no result"
  if [ "$errors" = 0 ] && ! grep -qE 'max search depth too small|out of memory|Search not completed' "$place/said"; then
    seen=holds
  elif [ "${errors:-0}" -gt 0 ] && grep -q 'assertion violated' "$place/said" && ! grep -q 'invalid array index' "$place/said"; then
    seen=fails
  fi
  printf '%-10s %-6s %-44s %10s states %7s s\n' "$model" "$seen" "$*" "${states:--}" "${seconds:--}"
  rm -rf "$place/pan" "$place"/*.trail
  [ "$seen" = "$wanted" ] || { echo "model: error: $model $* $seen, wanted: $wanted" >&2; tail -20 "$place/said" >&2; return 1; }
}

faults=0
while IFS='|' read -r line shows; do
  case $line in '' | '#'*) continue ;; esac
  # shellcheck disable=SC2086 -- words are what is meant
  one $line || faults=$((faults + 1))
done <variants.txt
[ "$faults" = 0 ] && echo "model: every rule holds, and each is needed" || { echo "model: $faults not as wanted" >&2; exit 1; }
