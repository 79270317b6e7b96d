"""`python -m producer`."""

import sys


def main() -> None:
    """Runs the command line. For `run`, a worker process starts to import its code first."""
    if sys.argv[1:2] == ["run"] and "--help" not in sys.argv:
        from producer.local.early_worker import launch

        launch()
    from producer.cli.app import main as command_line

    command_line()


if __name__ == "__main__":
    main()
