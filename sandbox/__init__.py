"""A stand-in for the record systems' HTTP APIs, for trying and testing without credentials."""
