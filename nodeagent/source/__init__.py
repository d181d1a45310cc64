"""Stage 1: get the wanted state."""
