"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    _make_starts_and_runs()
    op.create_table(
        "events",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("start", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("job", sa.Text),
        sa.Column("run", sa.Text),
        sa.Column("data", sa.Text),
        sa.PrimaryKeyConstraint("name", "start", "seq", name="events_pkey"),
    )
    op.create_index("events_at", "events", ["name", "at"])
    op.create_table(
        "actions",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("start", sa.Text, nullable=False),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("jobs", sa.Text),
        sa.Column("caller", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("result", sa.Text),
        sa.PrimaryKeyConstraint("name", "start", "id", name="actions_pkey"),
    )
    op.create_index("actions_at", "actions", ["name", "at"])
    op.create_table(
        "log_tails",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("start", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("truncated", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("name", "start", "run", name="log_tails_pkey"),
    )
    op.create_index("log_tails_at", "log_tails", ["name", "at"])
    op.create_table(
        "jobs",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("armed_at", sa.Double, nullable=False),
        sa.Column("last_instant", sa.Double),
        sa.Column("paused_since", sa.Double),
        sa.Column("paused_reason", sa.Text),
        sa.Column("restarts", sa.Text),
        sa.Column("restart_delay", sa.Double),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", "job", name="jobs_pkey"),
    )


def _make_starts_and_runs() -> None:
    op.create_table(
        "starts",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("start", sa.Text, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("host", sa.Text),
        sa.Column("version", sa.Text),
        sa.Column("paths", sa.Text),
        sa.Column("command", sa.Text),
        sa.Column("boot_id", sa.Text),
        sa.Column("alive_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("how", sa.Text, nullable=False),
        sa.Column("stop_reason", sa.Text),
        sa.Column("report", sa.Text),
        sa.PrimaryKeyConstraint("name", "start", name="starts_pkey"),
    )
    op.create_index("starts_since", "starts", ["name", "since"])
    op.create_table(
        "runs",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("start", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger),
        sa.Column("replica", sa.BigInteger),
        sa.Column("runner", sa.Text),
        sa.Column("instant", sa.Double),
        sa.Column("is_unrecorded", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("queued_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("ready_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("seconds", sa.Double),
        sa.Column("outcome", sa.Text),
        sa.Column("reason_kind", sa.Text),
        sa.Column("reason_text", sa.Text),
        sa.Column("error_type", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("error_traceback", sa.Text),
        sa.Column("last_polled", sa.Double),
        sa.Column("counters", sa.Text),
        sa.Column("progress", sa.Text),
        sa.Column("stuck_at", sa.Text),
        sa.Column("stuck_stack", sa.Text),
        sa.PrimaryKeyConstraint("name", "start", "run", name="runs_pkey"),
    )
    op.create_index("runs_of_job", "runs", ["name", "job", "queued_at"])
    op.create_index("runs_queued", "runs", ["name", "queued_at"])
