#!/bin/sh
{ set +x; } 2>/dev/null # with xcatdebugmode=1 xCAT runs `bash -x NAME ARGUMENTS`, and logs it: before anything else
# Written by `nodeagent enroll xcat`, which also replaces it.
#
# An xCAT postbootscript: starts nodeagent on this node, waits until the node is configured, and says so by its status:
# xCAT reports `booted` for 0, `failed` for any other.
#
#   postbootscripts=...,nodeagent-boot             the password comes by itself: a credential, or a synclist
#   postbootscripts=...,nodeagent-boot PASSWORD    it is put into a root-only file in memory, and forgotten here
set -u
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin:${PATH-}

timeout=@TIMEOUT@ # seconds

fail() {
  printf 'nodeagent-boot: %s\n' "$1" >&2
  exit 1
}

# A password is never the argument of a program: printf is the shell's own.
keep() {
  [ -n "$1" ] || fail "the password is empty: correct postbootscripts"
  case $(stat -f -c %T /run 2>/dev/null) in
    tmpfs | ramfs) ;;
    *) fail "/run is not in memory: the password was not written" ;;
  esac
  rm -f /run/nodeagent.password.new
  printf '%s\n' "$1" >/run/nodeagent.password.new || fail "the password cannot be written to /run"
  mv -f /run/nodeagent.password.new /run/nodeagent.password || fail "/run/nodeagent.password cannot be replaced"
}

case $# in
  0) ;;
  1)
    keep "$1"
    exec /bin/sh "$0" # for the long wait, without the password in this process's own arguments
    ;;
  *) fail "one argument at most: arguments of post.sh are args in nodeagent.toml" ;;
esac

# What xCAT tells its scripts, for a post.sh that uses it: environment_file = "/run/nodeagent.xcat".
value=
for name in NODE MASTER SITEMASTER XCATSERVER DOMAIN GROUP OSVER ARCH PROFILE PROVMETHOD NODESETSTATE NTYPE INSTALLDIR; do
  eval "value=\${$name-}"
  case $value in
    '' | *"
"*) ;;
    *) printf '%s=%s\n' "$name" "$value" ;;
  esac
done >/run/nodeagent.xcat

command -v nodeagent >/dev/null || fail "nodeagent is not in this image: see its .postinstall"
# One that runs already reads its configuration again and looks for the password at once.
systemctl reload-or-restart nodeagent.service || fail "nodeagent.service does not start: see systemctl status nodeagent"
nodeagent ready --wait --timeout "$timeout"
