"""Commands as pages, experiments and the configuration write them: words, never a shell line."""

import sys
from collections.abc import Sequence

# The first words that mean this installation, whatever PATH says.
PROGRAMS = {
    "python": (sys.executable,),
    "storewatch": (sys.executable, "-m", "storewatch.cli.main"),
}


def resolve(words: Sequence[str]) -> list[str]:
    """Return the argv of a command, `python` and `storewatch` replaced by this installation's."""
    return [*PROGRAMS.get(words[0], (words[0],)), *words[1:]]
