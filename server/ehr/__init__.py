"""The health record: the port in our words, and the clients that fill it."""
