"""Tools that know nothing of the project: a command run, a lock, a deadline, an error."""
