# What a later nodeagent has remembered of this node would be lost on an earlier one, which refuses to read it.
# Bytes 60 to 63 of an SQLite file are its user_version, the highest first.
ledger=/var/lib/nodeagent/ledger.db
if [ -s "$ledger" ]; then
    known=@SCHEMA@ found=0
    for byte in $(od -An -tu1 -j60 -N4 "$ledger"); do
        found=$((found * 256 + byte))
    done
    if [ "$found" -gt "$known" ]; then
        echo "nodeagent @VERSION@ is not installed: a later nodeagent has written this node's ledger" >&2
        echo "($ledger is of version $found, this one reads up to $known). Install that version again;" >&2
        echo "or move /var/lib/nodeagent away: the node is then adopted anew, and undo has no past." >&2
        exit 1
    fi
fi
