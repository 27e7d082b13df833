"""One row may be for several runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Let each row that exists be for one run."""
    op.add_column("runs", sa.Column("folded", sa.BigInteger, nullable=False, server_default=sa.text("1")))
    op.add_column("runs", sa.Column("folded_seconds", sa.Double))
