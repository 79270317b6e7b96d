"""What the terminal shows: tables, the live worker table, progress, the summary of a run."""
