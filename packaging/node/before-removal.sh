# What nodeagent has placed, its configuration, its keys and its ledger stay.
if [ -d /run/systemd/system ]; then
    /usr/lib/nodeagent/rest --within 600 systemctl stop nodeagent.service || systemctl stop nodeagent.service || :
fi
systemctl --no-reload disable --now nodeagent.service nodeagent-ready.path || :
