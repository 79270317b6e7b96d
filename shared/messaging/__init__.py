"""The Celery application, messages."""
