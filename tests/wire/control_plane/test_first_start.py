from __future__ import annotations

from pathlib import Path

from fixtures.postgres_server import PostgresServer
from provisioner.store import upgrade_store
from tests.unit.app.test_first_start import check_two_first_starts


def test_of_two_first_starts_on_one_postgresql_one_leaves_a_token(
    server: PostgresServer, tmp_path: Path
) -> None:
    url = server.new_database()
    upgrade_store(url)
    check_two_first_starts(url, tmp_path)
