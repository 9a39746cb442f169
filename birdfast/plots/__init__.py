"""What people look at. Each function draws on the `ax` given, or on a new figure, and returns it; none shows it."""
