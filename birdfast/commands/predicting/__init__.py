"""`birdfast predict`: scores, and how to look at them."""
