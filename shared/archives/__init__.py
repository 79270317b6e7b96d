"""Tar and zip: finding and reading members, in constant memory."""
