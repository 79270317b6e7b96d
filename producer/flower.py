"""Flower with settings that fit."""

import os
import sys
from typing import NoReturn

from shared.settings import Settings

_MOST_TASKS = 10_000  # it keeps every task in memory


def serve(settings: Settings, address: str, port: int) -> NoReturn:
    """Becomes Flower. Its password, where there is one, travels in the environment and not on the command line."""
    environment = os.environ | {"REDIS_URL": settings.server_url}
    if settings.flower_password:
        environment["FLOWER_BASIC_AUTH"] = f"{settings.flower_user}:{settings.flower_password}"
    else:
        # Without a password its API is closed unless this says that loopback is enough.
        environment["FLOWER_UNAUTHENTICATED_API"] = "true"
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    os.execve(
        sys.executable,
        [
            sys.executable, "-m", "celery", "-A", "producer.flower_app", "flower", f"--address={address}",
            f"--port={port}", f"--max-tasks={_MOST_TASKS}", "--persistent=true",
            f"--db={settings.state_dir / 'flower.db'}", "--purge-offline-workers=60",
            "--tasks-columns=name,kwargs,state,result,runtime,worker",
        ],
        environment,
    )  # fmt: skip
