"""`python -m producer`."""

from producer.cli import main

if __name__ == "__main__":
    main()
