"""Incidents and their timelines."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("alert", sa.String(200), nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("runbook", sa.String(200), nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("starts_at", sa.String(30), nullable=False),
        sa.Column("opened_at", sa.String(30), nullable=False),
        sa.Column("acknowledged_at", sa.String(30)),
        sa.Column("resolved_at", sa.String(30)),
    )
    op.create_index(
        "one_open_incident_per_alert", "incidents", ["fingerprint", "starts_at"], unique=True
    )
    op.create_table(
        "timeline",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("incident_id", sa.String(26), sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("at", sa.String(30), nullable=False),
        sa.Column("unix_s", sa.Float, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("ix_timeline_incident_id", "timeline", ["incident_id"])


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("timeline")
    op.drop_table("incidents")
