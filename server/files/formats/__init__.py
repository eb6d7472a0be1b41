"""What each kind of file may hold; these run in the child process alone, on hostile input."""
