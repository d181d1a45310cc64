"""What was fetched: the fetch user's bare repository, and the objects in it."""
