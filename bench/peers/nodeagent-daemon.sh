#!/bin/bash
# A runner for the peers benchmark: as nodeagent.sh, but the daemon stays; a `cycle` is a SIGHUP, and ends with its workers.
#
# The harness counts the CPU of what a runner starts and waits for. What the daemon and its workers used in a cycle is a
# line of CPU_FILE, in seconds, which bench/peers/rounds adds.
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source-path=SCRIPTDIR
. "$here/setup.sh"
: "${CPU_FILE:=$PEERS_ROOT/run/${WORK##*/}.cpu}"

exec {quiet}<> <(:)       # never has anything to read: a sleep that is no process
tick() { read -rt 0.01 -u "$quiet" || :; }
alive() { pid=$(cat "$WORK/pid" 2>/dev/null) && [ -d "/proc/$pid" ]; }

# Clock ticks of the daemon and of those of its children that have ended.
used() {
  local stat
  stat=$(<"/proc/$pid/stat")
  # shellcheck disable=SC2086 # split on purpose
  set -- ${stat##*) }
  echo $((${12} + ${13} + ${14} + ${15}))
}

# Wait until a worker was seen, none is left, and the status names the branch's commit.
await() {
  local wanted began=${EPOCHSECONDS} seen='' idle=0
  wanted=$(git -C "$REPO_DIR/repo.git" rev-parse main)
  while [ "$idle" -lt 3 ]; do
    [ $((EPOCHSECONDS - began)) -lt 300 ] && [ -d "/proc/$pid" ] || return 1
    tick
    if [ -n "$(<"/proc/$pid/task/$pid/children")" ]; then
      seen=1 idle=0
    elif [ -n "$seen" ] && [[ $(<"$memory/runtime/status.json") == *"\"applied\": \"main@sha1:$wanted\""* ]]; then
      idle=$((idle + 1))
    fi
  done
}

cycle() {
  local before=0
  setup
  if alive; then
    before=$(used)
    kill -HUP "$pid"
  else
    setsid "$NODEAGENT" run --config "$WORK/nodeagent.toml" </dev/null >>"$WORK/log" 2>&1 &
    pid=$!
    echo "$pid" >"$WORK/pid"
  fi
  await
  echo "$(((($(used) - before) * 1000) / $(getconf CLK_TCK)))e-3" >>"$CPU_FILE"
}

reset() {
  if alive; then
    kill "$pid"
    while [ -d "/proc/$pid" ]; do tick; done
  fi
  reset_work
}

if [ "${1-}" = reset ]; then reset; else main "$@"; fi
