"""The tables of our own state; the migrations in `migrations/` bring a database to this form."""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("fingerprint", String(64), nullable=False),  # Alertmanager's, one per label set
    Column("alert", String(200), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("state", String(20), nullable=False),  # open, acknowledged, resolved
    Column("summary", Text, nullable=False),
    Column("runbook", String(200), nullable=False),
    Column("labels", Text, nullable=False),  # JSON object
    Column("starts_at", String(30), nullable=False),  # RFC 3339, as Alertmanager sent it
    Column("opened_at", String(30), nullable=False),
    Column("acknowledged_at", String(30)),
    Column("resolved_at", String(30)),
    Index("one_open_incident_per_alert", "fingerprint", "starts_at", unique=True),
)

timeline = Table(
    "timeline",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("incident_id", String(26), ForeignKey("incidents.id"), nullable=False, index=True),
    Column("at", String(30), nullable=False),
    Column("unix_s", Float, nullable=False),
    Column("kind", String(40), nullable=False),  # opened, updated, acknowledged, resolved, note
    Column("text", Text, nullable=False),
)
