"""What CI systems read of a rehearsal: one test case for each target."""

from collections.abc import Sequence
from xml.etree import ElementTree

from storewatch.core.clock import rfc3339
from storewatch.core.evidence import Evidence
from storewatch.core.figures import number
from storewatch.core.targets import Verdict


def render(evidence: Evidence, parts: Sequence[tuple[str, Verdict, str]] = ()) -> bytes:
    """Return JUnit XML: FAIL is a failure; INVALID and INCONCLUSIVE are errors, never a pass.

    Args:
        evidence: of the rehearsal.
        parts: name, verdict and what is said of each part that has a verdict of its own.

    Source: the form that Jenkins and GitLab read (testsuites, testsuite, testcase).
    """
    judged = [m for m in evidence.measurements if m.target is not None]
    suite = ElementTree.Element(
        "testsuite",
        name=f"{evidence.kind} {evidence.subject}",
        timestamp=rfc3339(evidence.started_at),
        time=f"{evidence.duration_s:.3f}",
    )
    suite.append(_case(evidence, "verdict", evidence.verdict, "; ".join(evidence.notes)))
    for name, verdict, said in parts:
        suite.append(_case(evidence, name, verdict, said))
    for one in judged:
        said = f"{number(one.value, one.unit)}, asked is {one.target} {one.unit}"
        suite.append(_case(evidence, one.name, one.verdict or Verdict.INCONCLUSIVE, said))
    for attribute, tag in (("failures", "failure"), ("errors", "error")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(judged) + len(parts) + 1))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    text: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _case(evidence: Evidence, name: str, verdict: Verdict, said: str) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=f"{evidence.kind}.{evidence.subject}", name=name
    )
    if verdict is not Verdict.PASS:
        kind = "failure" if verdict is Verdict.FAIL else "error"
        ElementTree.SubElement(case, kind, message=f"{verdict}: {said}", type=str(verdict))
    return case
