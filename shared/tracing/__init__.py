"""Spans of jobs, sent with OpenTelemetry if an endpoint is set."""
