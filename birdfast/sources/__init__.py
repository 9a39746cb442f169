"""What was recorded, and who calls: one reader a format."""
