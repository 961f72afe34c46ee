"""What `--help` says under a command's options."""


def example(*commands: str) -> str:
    """Command lines that can be copied as they stand."""
    # After \b a paragraph keeps its line ends.
    return "\n".join(("\b", "Example:", *(f"  {command}" for command in commands)))
