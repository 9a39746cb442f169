"""`birdfast evaluate`: truth and scores side by side, and the page about them."""
