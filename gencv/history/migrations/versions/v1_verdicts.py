"""Verdicts, what people say of them, and where pictures are kept."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "verdicts",
        *common(),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("bundle", "digest", "task", "label")),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("threshold_id", sa.Text, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("attribution", sa.Text),
        sa.Column("attribution_score", sa.Double),
    )
    op.create_table(
        "feedback",
        *common(),
        sa.Column("verdict_id", sa.String(32)),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "kept",
        sa.Column("picture_id", sa.String(32), primary_key=True),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
    for table in ("verdicts", "feedback"):
        for column in ("time", "picture_id"):
            op.create_index(f"ix_{table}_{column}", table, [column])


def common() -> list[sa.Column]:
    return [
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("picture_id", sa.String(32)),
    ]
