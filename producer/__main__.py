"""`python -m producer`."""

from producer.cli.commands import main

if __name__ == "__main__":
    main()
