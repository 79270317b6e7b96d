"""The Celery application that Flower looks through; it needs no worker code."""

from shared.celery_app import make_celery
from shared.settings import get_settings

app = make_celery(get_settings())
