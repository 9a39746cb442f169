"""What several verbs share: options, places, and what is said at the end."""
