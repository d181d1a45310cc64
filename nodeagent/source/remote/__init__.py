"""The repository on the server: its address, its host keys, its refs, and when to try again."""
