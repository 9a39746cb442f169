"""`python -m birdfast`, the same as `birdfast`."""

from birdfast.cli import main

if __name__ == "__main__":
    main()
