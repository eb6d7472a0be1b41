"""Cobalt: record systems of the United States, whose writes are queued."""
