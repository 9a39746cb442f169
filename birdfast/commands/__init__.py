"""What each verb of the shell does, as a function."""
