"""The tools an assistant can call, one file each."""
