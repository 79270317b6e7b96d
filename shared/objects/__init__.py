"""Object storage and web servers: listing and reading objects."""
