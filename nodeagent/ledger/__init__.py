"""What this node was given, and by which statement."""
