"""What is installed and what it takes: entry points, signatures, and the parameters of tasks."""
