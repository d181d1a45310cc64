#!/bin/sh
# Configures a node; run by nodeagent, and as well by a plain shell. $1: the node's role, "compute" if there is none.
# It runs again with each new commit, on nodes that are up: write what may be done twice.

# RUN NAME ARGS...: start a postscript, and note in the system log how it ended.
RUN() {
  logger -t postscripts "Running $*..."
  "$@"
  rc=$?
  if [ "$rc" -eq 1 ]; then
    logger -t postscripts "$* failed with error code $rc"
  elif [ "$rc" -ne 0 ]; then
    logger -t postscripts "$* exited with error code $rc"
  fi
  logger -t postscripts "$* exited with code $rc"
  return "$rc"
}

# COPY FROM TO: put a file in its place; with a slash behind FROM, all that the directory holds.
COPY() {
  mkdir -p "$(dirname "$2")"
  rsync -av "$1" "$2"
}

TOP=$(dirname "$(realpath "$0")")
ROLE=${1:-compute}

# -- SYNCLIST: files that are the repository's alone
cd "$TOP/files" || exit 1

COPY ./motd/motd /etc/motd
COPY ./profile.d/ /etc/profile.d/

# git keeps no mode but the execute bit: say it here, as for a key
COPY ./sysctl.d/90-cluster.conf /etc/sysctl.d/90-cluster.conf   # nodeagent: mode=0644
sysctl --quiet --system   # nodeagent: on=/etc/sysctl.d

# -- APPEND: lines for files that others write too; nodeagent adds them once
cat ./hosts/cluster >>/etc/hosts

# -- EXECUTE: programs of postscripts/, by name
PATH="$TOP/postscripts:$PATH"

RUN set-role "$ROLE"
