"""Source in, binaries out: origins -> series -> recipes -> stamp."""
