"""A stand-in for Cobalt: one clinic of the United States whose writes are queued."""
