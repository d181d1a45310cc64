"""The MESSAGE_IDs of everything that nodeagent writes to the journal.

``journalctl MESSAGE_ID=...`` finds the entries of one kind, ``journalctl -x`` explains them with the texts in
``systemd/nodeagent.catalog``. An id stays for ever; a kind of entry that comes to mean something else gets a new one.
"""

EVALUATION_STARTED = "3ae85e6a0f9a4476b5b650ae4bf8f5e3"
EVALUATION_ENDED = "4155f5d8d72849899a26974c6f7bde79"
STEP_STARTED = "d683c7c35f9d4886b0545630cbc03f9a"
STEP_ENDED = "90f500f01bfc4bc49d4fd3d68c8eefb7"
STEP_FAILED = "2710732a754f4e30bcd45fb2f2d6ecf4"
STEP_LEFT_OUT = "8aae72cc23e347c8bf788800430dae48"
DESTINATION_CHANGED = "805b34b50cd54e8f84be5e88f60d6582"
PROBLEM = "07f1d00942174e93bc9c4be0f05bdece"
PROBLEM_ENDED = "56c0d7de95ce48cf80857676ee540a3f"
PLANNED = "bbd6a1351ba540faa6f2a873cf30f9af"
LINES_LOST = "08774e7931d1497c92717232883140a3"
