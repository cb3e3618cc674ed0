"""Results in; tables, JUnit and pages out. Reads what results.json holds and nothing else."""
