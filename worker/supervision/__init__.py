"""Threads of the main process: leases, reconciler, spill policy, resource samples."""
