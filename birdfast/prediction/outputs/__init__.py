"""Forms of results that people use."""
