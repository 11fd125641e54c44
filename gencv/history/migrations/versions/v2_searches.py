"""Searches, and pictures that were painted."""

import sqlalchemy as sa
from alembic import op

from gencv.history.migrations.versions.v1_verdicts import common

revision = "2"
down_revision = "1"


def upgrade() -> None:
    op.create_table(
        "searches",
        *common(),
        sa.Column("asked", sa.JSON, nullable=False),
        sa.Column("index_version", sa.Integer, nullable=False),
        sa.Column("hits", sa.JSON, nullable=False),
    )
    op.create_table(
        "paintings",
        *common(),
        sa.Column("recipe", sa.JSON, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("model", "model_digest", "finish_reason")),
    )
    for table in ("searches", "paintings"):
        for column in ("time", "picture_id"):
            op.create_index(f"ix_{table}_{column}", table, [column])
