#!/bin/sh
# Configures a compute node. $1: the node's role, "compute" or "login".

# RUN logs that a postscript starts and how it ended.
RUN() {
  logger -t postscripts "Running $*..."
  "$@"
  rc=$?
  if [ $rc -eq 1 ]; then
    logger -t postscripts "$* failed with error code $rc"
  elif [ $rc -ne 0 ]; then
    logger -t postscripts "$* exited with error code $rc"
  fi
  logger -t postscripts "$* exited with code $rc"
}

# COPY puts a file, or what a directory holds, in its place.
COPY() {
  mkdir -p "$(dirname "$2")"
  rsync -av "$1" "$2"
}

SCRIPTPATH=$(dirname "$(realpath "$0")")
ROLE=${1:-compute}

# -- SYNCLIST
cd "${SCRIPTPATH}/files" || exit 1

COPY ./sssd/sssd.conf /etc/sssd/sssd.conf
chmod 600 /etc/sssd/sssd.conf

COPY ./ssh/ /etc/ssh/
systemctl restart ssh   # nodeagent: on=/etc/ssh

COPY ./munge/munge.key /etc/munge/munge.key
chmod 400 /etc/munge/munge.key

COPY ./slurm/slurmd_defaults /etc/default/slurmd
if [ "$ROLE" = compute ]; then
  COPY ./slurm/prolog.d/ /etc/slurm/prolog.d/
  COPY ./slurm/epilog.d/ /etc/slurm/epilog.d/
fi

COPY ./certs/ /etc/pki/ca-trust/source/anchors/

# -- APPEND
cat ./hosts/cluster >>/etc/hosts
mkdir -p /root/.ssh
echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGV4YW1wbGUtb3BlcmF0b3Ita2V5LW5vdC1hLXJlYWwtb25l operator" >>/root/.ssh/authorized_keys
chmod 700 /root/.ssh
chmod 600 /root/.ssh/authorized_keys

cd "${SCRIPTPATH}" || exit 1

# -- EXECUTE
PATH="${SCRIPTPATH}/postscripts:$PATH"

RUN scratch /var/scratch
RUN slurm "$ROLE"
RUN set-motd "$ROLE"
