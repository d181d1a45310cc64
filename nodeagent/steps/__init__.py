"""Where the stages meet: what post.sh's shell asks for is judged, done, remembered and told, one request at a time."""
