"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """Something the user can mend: one sentence on what is wrong, where, and what to do.

    The workflow's scripts print the sentence and exit with status 1; everything else that is raised
    is a defect of ours and keeps its traceback.
    """


def closest(name: str, known: list[str]) -> str:
    """Name the nearest known name as a question, or list all where none is near."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return "known: " + ", ".join(known) + "."
