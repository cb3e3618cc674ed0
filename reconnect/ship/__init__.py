"""What leaves the machine: the container image."""
