"""Stage 4: say how it went."""
