"""Starts Flower with a password and settings that suit facequeue."""

import secrets
import signal
import sys

from flower.command import apply_env_options, extract_settings, setup_logging
from flower.options import options
from flower.urls import settings as tornado_settings

from producer.monitoring.flower_guard import GuardedFlower
from producer.monitoring.host_names import ANY_ADDRESS, answered_names
from shared.config.logs import log_to_stderr
from shared.config.settings import Settings
from shared.domain.errors import InvalidRequest
from shared.messaging.celery_app import make_celery

_MOST_TASKS = 10_000  # Flower keeps them in memory
_OFFLINE_S = 60


def serve(settings: Settings, address: str, port: int) -> None:
    """Serves until interrupted. Prints the address, and the password if it is a random one."""
    log_to_stderr(settings.log_format)
    apply_env_options()  # Flower's own variables, FLOWER_*
    options.address, options.port = address, port
    options.max_tasks, options.purge_offline_workers = _MOST_TASKS, _OFFLINE_S
    options.tasks_columns = "name,kwargs,state,result,runtime,worker"
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    options.persistent, options.db = True, str(settings.state_dir / "flower.db")
    login = _ask_for_password(settings)
    extract_settings()
    setup_logging()
    hosts = answered_names(settings.flower_host_names, address)
    app = GuardedFlower(hosts, capp=make_celery(settings), options=options, **tornado_settings)
    try:
        app.start_http_server()
    except OSError as error:
        raise InvalidRequest(
            f"Flower cannot be served at {address}:{port}: {error.strerror or error}. Give another --port or --address."
        ) from None
    print(f"Flower: http://{'127.0.0.1' if address in ANY_ADDRESS else address}:{port}{login}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        app.start()
    except KeyboardInterrupt:
        pass
    finally:
        app.stop()


def _ask_for_password(settings: Settings) -> str:
    """Makes Flower ask for a password, and returns what to print about it.

    Without a password, every program on this machine could control the workers.
    """
    if settings.flower_password is None and (options.basic_auth or options.auth):  # Flower's own variables set it
        return ""
    password = settings.flower_password or secrets.token_urlsafe(12)
    options.basic_auth = [f"{settings.flower_user}:{password}"]
    if settings.flower_password is not None:
        return f", user {settings.flower_user}"
    return (
        f", user {settings.flower_user}, password {password}\n"
        "The password is random and new at each start; FACEQUEUE_FLOWER_PASSWORD sets a permanent one."
    )
