"""The password, the key file, and the deploy key for as long as it is needed."""
