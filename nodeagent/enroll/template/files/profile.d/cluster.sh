# shellcheck shell=sh
# For all who log in.
export CLUSTER=example
