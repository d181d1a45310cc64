#!/bin/bash
# A runner for the peers benchmark: `reset` forgets all state, `cycle` fetches and converges once, in a new process.
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source-path=SCRIPTDIR
. "$here/setup.sh"

cycle() {
  setup
  "$NODEAGENT" apply --config "$WORK/nodeagent.toml" --detailed-exitcodes >"$WORK/log" 2>&1 || [ $? = 2 ]
}

main "$@"
