"""A run may execute on another host."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Let the place of each run that exists be unknown."""
    op.add_column("runs", sa.Column("host", sa.Text))
    op.add_column("runs", sa.Column("worker", sa.Text))
    op.add_column("runs", sa.Column("pid", sa.BigInteger))
