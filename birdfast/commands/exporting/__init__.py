"""`birdfast export`: one form of a model into another."""
