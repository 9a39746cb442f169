"""What was recorded and who is singing."""
