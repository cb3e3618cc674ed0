"""What runs beside the main thread of a cell: processes, their logs, and the waits for them."""
