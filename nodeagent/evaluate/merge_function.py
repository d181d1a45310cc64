"""The function that is a MERGE: known by its body, which is that of docs/spec.md under whatever name it has."""

import re

BODY = rb"""
cp -p "$2" "$2.merge" &&
awk -F: '
{ entry = index($0, ":") > 1 && !/^[# \t]/ || /^[+-]/ }
FILENAME == ARGV[1] { if (entry && !($1 in new)) { name[++n] = $1; new[$1] = $0 }; next }
entry && $1 in new { if ($1 in old) next; old[$1]; $0 = new[$1] }
{ line[++lines] = $0 }
/^[+-]/ && !nis { nis = lines }
END {
if (!nis) nis = lines + 1
for (i = 1; i < nis; i++) print line[i]
for (i = 1; i <= n; i++) if (!(name[i] in old) && name[i] !~ /^[+-]/) print new[name[i]]
for (i = nis; i <= lines; i++) print line[i]
for (i = 1; i <= n; i++) if (!(name[i] in old) && name[i] ~ /^[+-]/) print new[name[i]]
}' "$1" "$2" >"$2.merge" && mv -f "$2.merge" "$2" || { rm -f "$2.merge"; return 1; }
"""
PROGRAMS = frozenset({"cp", "awk", "mv", "rm"})


def is_merge(body: bytes) -> bool:
    """Is it that body, however it is indented?

    Line breaks count: one more or less is another program to awk. So does everything else, since what looks almost
    the same may do something else.
    """
    return _normal(body) == _normal(BODY)


def _normal(text: bytes) -> list[bytes]:
    lines = (re.sub(rb"[ \t]+", b" ", line.strip(b" \t")) for line in text.split(b"\n"))
    return [line for line in lines if line]
