"""Commands and options; turns errors into exit codes."""
