# shellcheck shell=dash disable=SC2154 # __na_q, __na_p, __na_l and __na_v are set in front of this text
# The native verbs as post.sh's shell sees them. Built-ins only: a call forks nothing. Each call opens the two named
# pipes anew, so no other command inherits a descriptor of ours, and none of the script's is taken.
# A request is NUL-separated: the number of words, the words, then where and how the shell stands: its directory, its
# umask, the texts that it is in the middle of, and what the names that the request is about resolve to. The answer is
# one line, in __na_r.
# Where several processes may ask at the same time, __na_l is a pipe with a line in it for the one whose turn it is.
__na_d='' __na_e=''
__na_call() {
  case $__na_l in '') ;; *)
    while ! IFS= read -r __na_r <"$__na_l"; do [ -p "$__na_l" ] || return 0; done
    ;;
  esac
  {
    printf '%s\0' "$#" "$@"
    pwd -P 2>/dev/null || :
    printf '\0'
    umask
    printf '\0%s\0' "$__na_d"
    case $1 in
      go)
        shift 2
        for __na_w in "$@"; do command -v "$__na_w" || :; done
        ;;
      cp) command -v "$3" || : ;;
      run) command -v "${3-}" || : ;;
    esac
    printf '\0'
  } >"$__na_q"
  # A trapped signal interrupts read in dash: ask again.
  while ! IFS= read -r __na_r <"$__na_p"; do [ -p "$__na_p" ] || break; done
  case $__na_l in '') ;; *) printf '\n' >"$__na_l" || : ;; esac
}
__na_go() { # NUMBER NAME...: may this step run? If not, __na_no gives the status that it had, or 0
  __na_call go "$@"
  case $__na_r in run) return 0 ;; esac
  return 1
}
__na_no() { # 256 and more: it is the step in which the shell ended, of a signal or with a status
  if [ "$__na_r" -ge 256 ]; then
    __na_r=$((__na_r - 256))
    if [ "$__na_r" -gt 128 ]; then kill "-$((__na_r - 128))" "$$"; fi
    exit "$__na_r"
  fi
  return "$__na_r"
}
__na_to() { # NUMBER: where to write the text that is meant for __na_t
  __na_call to "$1" "$__na_t"
  __na_d="$1 $__na_d"
  case $__na_r in '') __na_o=$__na_t ;; *) __na_o=$__na_r ;; esac
}
__na_is() { return "$__na_s"; } # the status that the statement which comes next is to find
__na_ok() { # NUMBER: the end of the step that __na_go began
  __na_s=$?
  __na_i=''
  __na_call ok "$1" "$__na_s"
  return "$__na_s"
}
__na_tx() { # NUMBER: the end of a text: the agent places it. Where that failed, __na_no gives the status of that
  __na_s=$?
  __na_call tx "$1" "$__na_s"
  __na_d=${__na_d#* }
  return "$__na_s"
}
# The same two for a text that another process may print: it has a number of its own, 0 if it is the shell's. A process
# may go on when the agent has ended.
__na_st() {
  __na_r=''
  if [ -p "$__na_q" ]; then __na_call st "$1" "$__na_t" "$__na_e"; fi
  __na_e="${__na_r%% *} $__na_e"
  case $__na_r in '' | *' ') __na_o=$__na_t ;; *) __na_o=${__na_r#* } ;; esac
}
__na_sx() {
  __na_s=$?
  __na_r=0
  case $__na_e in [1-9]*)
    if [ -p "$__na_q" ]; then __na_call sx "$1" "${__na_e%% *}" "$__na_s"; fi
    __na_r=${__na_r:-0}
    ;;
  esac
  __na_e=${__na_e#* }
  return "$__na_s"
}
__na_up() { # a subshell has ended, perhaps in the middle of a text
  __na_s=$?
  __na_call up
  return "$__na_s"
}
__na_end() { # a trap for the shell's end begins: there is no text that the shell is in
  __na_s=$?
  __na_d=''
  __na_call up
  return "$__na_s"
}
__na_cp() { # NUMBER NAME ARGS...: a COPY by the agent, or by NAME itself when the agent says so
  { __na_call cp "$@"; shift; } 2>/dev/null
  case $__na_r in
    shell) "$@"; return ;;
    *\ *) while IFS= read -r __na_w; do printf '%s\n' "$__na_w"; done <"${__na_r#* }" >&2 ;; # STATUS FILE
  esac
  return "${__na_r%% *}"
}
# In a function that says something besides, the copying by the agent where the call is marked: see __na_at.
__na_cc() { # NAME ARGS...: is the shell to copy?
  case $__na_i in '') return 0 ;; esac
  __na_w=$__na_i __na_i=''
  { __na_call cp "$__na_w" "$@"; } 2>/dev/null
  case $__na_r in
    shell) return 0 ;;
    *\ *) while IFS= read -r __na_w; do printf '%s\n' "$__na_w"; done <"${__na_r#* }" >&2 ;; # STATUS FILE
  esac
  __na_r=${__na_r%% *}
  return 1
}
# A function that logs what it runs is told of only where its call is marked: not in a job, a pipeline, a substitution.
# __na_i is the number of the call under way, __na_k those of the calls around it.
__na_i='' __na_k=''
__na_at() { # NUMBER: such a call comes next
  __na_s=$?
  __na_i=$1
  return "$__na_s"
}
__na_of() { # such a call, which is no step, has come to its end
  __na_s=$?
  __na_i=''
  return "$__na_s"
}
__na_run() { # "$@" of such a function comes next
  __na_k="$__na_i $__na_k"
  case $__na_i in '') ;; *)
    __na_call run "$__na_i" "$@"
    __na_i=''
    ;;
  esac
}
__na_ran() {
  __na_s=$?
  __na_i=${__na_k%% *} __na_k=${__na_k#* }
  case $__na_i in '') ;; *) __na_call ran "$__na_s" ;; esac
  return "$__na_s"
}
__na_log() { case $__na_i in '') logger "$@" ;; *) __na_call log "$@" ;; esac }
__na_fs() { # the status that a file finds behind the program that makes its name: in bash the program's
  set -- "$?"
  case ${BASH_VERSION-} in '') return "$__na_s" ;; esac
  return "$1"
}
__na_dot() { # COMMAND FILE...: COMMAND is about to source FILE; bash alone knows `source` for sure
  __na_s=$?
  if command -v "$1" >/dev/null; then __na_call dot "${2-}" "$PATH"; fi
  return "$__na_s"
}
__na_see() { # as __na_dot, where the file is read as it is
  __na_s=$?
  if command -v "$1" >/dev/null; then __na_call see "${2-}" "$PATH"; fi
  return "$__na_s"
}
__na_in() { # the first thing in a file of the repository
  __na_s=$?
  __na_call in
  return "$__na_s"
}
__na_call hello
