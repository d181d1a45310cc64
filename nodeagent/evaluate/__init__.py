"""Stage 2: decide what post.sh means."""
