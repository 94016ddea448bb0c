"""What tests ask the book of incidents."""

from alerting.incidents import Incident, IncidentBook


def incidents(book: IncidentBook, name: str) -> list[Incident]:
    return [incident for incident in book.list() if incident.alert == name]
