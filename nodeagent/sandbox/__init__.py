"""A place where post.sh may do what it likes: namespaces over an overlay of ``/``, gone when it ends."""
