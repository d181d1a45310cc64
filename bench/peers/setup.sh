# What the runners of the peers benchmark share: where a node's state is, and its configuration. Sourced, not run.
# shellcheck shell=bash
#
# The harness's lib.sh gives REPO_URL, WORK (own state), DEST (the root prefix that post.sh copies to), SSH_DIR (keys), and
# main, which calls the verbs. A runner is linked into the harness's runners/, or PEERS_HARNESS names the harness.
# NODEAGENT names the program.
lib=$(dirname "$0")/lib.sh
[ -e "$lib" ] || lib=${PEERS_HARNESS:?the directory of the peers benchmark}/runners/lib.sh
# shellcheck source=/dev/null
. "$lib"
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
interval = 86400 # of the daemon: what is measured is asked for
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

reset_work() {
  rm -rf "${WORK:?}" "$memory"
  mkdir -p "$WORK"
}
