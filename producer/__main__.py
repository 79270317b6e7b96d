"""`python -m producer`: the command line. For `run`, a worker process starts first."""

import os
import sys

from shared.config.exit_codes import ExitCode
from shared.config.standard_streams import open_standard_streams
from shared.tracing.absence import leave_out_metrics


def main() -> None:
    """Runs the command line. For `run`, a worker process starts to import its code first."""
    open_standard_streams()
    leave_out_metrics()
    try:
        if sys.argv[1:2] == ["run"] and "--help" not in sys.argv:
            from producer.local.early_worker import launch

            launch()
        from producer.cli.app import main as command_line
    except KeyboardInterrupt:
        print("producer: interrupted before it began.", file=sys.stderr, flush=True)
        # Python ends with the signal, whatever is raised now, if it interrupted a module that executes text.
        os._exit(ExitCode.NOT_FINISHED)
    command_line()


if __name__ == "__main__":
    main()
