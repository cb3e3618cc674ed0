"""Binaries in, results out: a guest, a switch, a fault, and the milliseconds until the network is back."""
