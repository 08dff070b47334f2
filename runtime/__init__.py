"""The host's side of the link."""
