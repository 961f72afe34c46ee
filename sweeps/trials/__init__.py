"""What happens while trials run: memory that runs out, splits side by side, workers inside."""
