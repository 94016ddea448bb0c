"""How a proof goes: its time line, what went wrong, what was measured."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from storewatch.core import names
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.parts import LoadResult
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceDraft


@dataclass(slots=True)
class Course:
    """How a proof went; becomes the evidence, whatever happened.

    Attributes:
        say: tells the user.
        events: the time line.
        notes: for whoever reads the evidence.
        overrides: verdicts that no measurement can better.
        times: measurements in seconds since the injection, by name.
        load: what was placed beside the fault.
    """

    say: Callable[[str], None]
    events: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    overrides: list[Verdict] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    load: LoadResult | None = None

    def mark(self, what: str, at_unix_s: float | None = None) -> None:
        """Put something on the time line and tell the user."""
        self.events.append({"at_unix_s": at_unix_s or time.time(), "what": what})
        self.say(what)

    def fail(self, verdict: Verdict, note: str) -> None:
        """Note what went wrong and what that makes of the proof."""
        self.overrides.append(verdict)
        self.notes.append(note)
        self.mark(note)

    def finish(self, draft: EvidenceDraft, targets: Mapping[str, Target]) -> Evidence:
        """Judge what was measured; a target without a measurement is not met.

        Args:
            draft: of the evidence.
            targets: by the name of the measurement.
        """
        found = [Measurement(n, value, "s", targets.get(n)) for n, value in self.times.items()]
        loaded = self.load.measurements if self.load else ()
        if any(m.name == names.ORDERS_ACKNOWLEDGED and not m.value for m in loaded):
            self.fail(Verdict.INVALID, "no order was acknowledged under load: none could be lost")
        found += [Measurement(m.name, m.value, m.unit, targets.get(m.name)) for m in loaded]
        missing = set(targets) - {measurement.name for measurement in found}
        found += [Measurement(name, None, "", targets[name]) for name in sorted(missing)]
        notes = [*self.notes, *(self.load.notes if self.load else ())]
        (draft.folder / "timeline.json").write_text(json.dumps(self.events, indent=1) + "\n")
        return draft.finish(found, notes, self.overrides)
