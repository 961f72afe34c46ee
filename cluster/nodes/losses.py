"""Why a process of Ray is gone, in one line; Ray writes a paragraph, of which a part helps."""

from ray.exceptions import ActorUnavailableError, RayError


def reason(error: BaseException) -> str:
    """Why workers failed, in one line; names who."""
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    for rank, failure in sorted(failures.items()):
        inner = getattr(failure, "health_check_failure", failure)
        return f"worker {rank}: {_short(inner)}"
    return _short(getattr(error, "controller_failure", error))


def died(failure: BaseException) -> bool:
    """Whether a worker ended without raising anything itself."""
    return isinstance(getattr(failure, "health_check_failure", failure), RayError)


def _short(error: BaseException) -> str:
    """The sentence that says why, else the first line."""
    if isinstance(error, ActorUnavailableError):
        return "its process does not answer: it, or its node, may be lost"
    if "worker process has died" in str(error) and "SYSTEM_ERROR" in str(error):
        return "its process died: killed, out of memory, or crashed"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    why = next((line for line in lines if " because " in line), first)
    return why.partition(". ")[0][:200]
