"""Stage 3: do it."""
