#!/bin/bash
# A runner for the peers benchmark: `reset` forgets all state, `cycle` fetches and converges once, in a new process.
#
# Link it into the harness's runners/, or name the harness in PEERS_HARNESS. The harness's lib.sh gives REPO_URL, WORK (own
# state), DEST (the root prefix that post.sh copies to), SSH_DIR (keys), and main, which calls the verbs below.
# NODEAGENT names the program. There is no `poll`: between two commits a node has the daemon, which bench/no-news measures.
lib=$(dirname "$0")/lib.sh
[ -e "$lib" ] || lib=${PEERS_HARNESS:?the directory of the peers benchmark}/runners/lib.sh
# shellcheck source=/dev/null
. "$lib"
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
: "${NODEAGENT:=$here/../../.venv/bin/nodeagent}"
: "${USER_NAME:=nobody}" # fetches; any account that owns nothing

memory=/dev/shm/nodeagent-peers/${WORK##*/} # a tmpfs everywhere: password and decrypted key are kept on no disk

setup() {
  [ ! -e "$WORK/nodeagent.toml" ] || [ ! -e "$memory/password" ] || return 0
  mkdir -p "$WORK/cache" "$DEST" "$memory"
  chown "$USER_NAME" "$WORK/cache"
  chmod 711 "$PEERS_ROOT" "$PEERS_ROOT/work" "$WORK"
  install -m 600 "$SSH_DIR/pass" "$memory/password"
  printf 'DEST=%s\nLOGGER_SOCK=%s\n' "$DEST" "${LOGGER_SOCK:-}" >"$WORK/environment"
  cat >"$WORK/nodeagent.toml" <<END
first_start = "apply"
environment_file = "$WORK/environment"
[source]
url = "$REPO_URL"
key = "$SSH_DIR/id_ed25519.enc"
known_hosts = "$SSH_DIR/known_hosts"
checkout = "$WORK/checkout"
user = "$USER_NAME"
[password]
file = "$memory/password"
[paths]
state = "$WORK/state"
cache = "$WORK/cache"
runtime = "$memory/runtime"
END
}

cycle() {
  setup
  "$NODEAGENT" apply --config "$WORK/nodeagent.toml" --detailed-exitcodes >"$WORK/log" 2>&1 || [ $? = 2 ]
}

reset_work() {
  rm -rf "${WORK:?}" "$memory"
  mkdir -p "$WORK"
}

main "$@"
