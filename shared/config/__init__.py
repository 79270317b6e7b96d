"""Settings, logs."""
