"""What tests ask the book of incidents."""

from alerting.incident import Incident
from alerting.incidents import IncidentBook


def incidents(book: IncidentBook, name: str) -> list[Incident]:
    return [incident for incident in book.list() if incident.alert == name]
