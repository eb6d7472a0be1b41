"""Files on their way into the record: taken, looked at, kept sealed, and given back in pieces."""
