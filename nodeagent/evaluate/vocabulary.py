"""The names of commands that mean something to the agent. All others are programs whose effect is on the node."""

# Built-ins and reserved words of dash, bash and ash that act on the shell itself, or on nothing at all.
# fmt: off
SHELL_WORDS = frozenset({
    ".", ":", "[", "alias", "bg", "bind", "break", "builtin", "caller", "cd", "chdir", "command", "compgen",
    "complete", "compopt", "continue", "coproc", "declare", "dirs", "disown", "echo", "enable", "eval", "exec",
    "exit", "export", "false", "fc", "fg", "getopts", "hash", "help", "history", "jobs", "let", "local",
    "logout", "mapfile", "popd", "printf", "pushd", "pwd", "read", "readarray", "readonly", "return", "select",
    "set", "shift", "shopt", "source", "suspend", "test", "time", "times", "trap", "true", "type", "typeset",
    "ulimit", "umask", "unalias", "unset", "wait",
})
# fmt: on
# Externals that change nothing, whatever their arguments: they are asked, not done. Gating them gains nothing, and a
# loop that waits would spin without its sleep.
# fmt: off
NEUTRAL = frozenset({
    "basename", "cat", "cmp", "cut", "diff", "dirname", "egrep", "fgrep", "findmnt", "getent", "grep", "head", "id",
    "ls", "lsblk", "lscpu", "lsmod", "lspci", "lsusb", "mountpoint", "nproc", "pgrep", "readlink", "sleep", "stat",
    "tail", "tr", "uname", "usleep", "wc", "which",
})
# fmt: on
# A built-in that acts on the node, not on the shell.
ACTING_BUILTINS = frozenset({"kill"})
# After these the shell may go on elsewhere, or with other redirections, or has read what it then runs.
LEAVING = frozenset({".", "break", "continue", "eval", "exec", "exit", "return", "source"})
TEXT_COMMANDS = frozenset({"cat", "echo", "printf"})
