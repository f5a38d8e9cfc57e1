"""Kept sessions: open one, and replay it under the same settings or others."""
