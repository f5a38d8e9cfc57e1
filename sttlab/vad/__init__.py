"""Whether a frame is speech."""
