"""Keys, and bringing nodeagent to nodes."""
