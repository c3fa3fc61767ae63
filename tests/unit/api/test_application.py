from __future__ import annotations

from provisioner.api.application import build_app
from tests.unit.api.conftest import Api


def test_applications_of_one_process_share_how_requests_are_read(api: Api) -> None:
    """pydantic keeps what it has compiled for a route for ever: over a megabyte for each application."""
    one, two = (build_app(api.context) for _ in range(2))
    own = [route for route in one.router.routes if not any(route is other for other in two.router.routes)]
    assert [getattr(route, "path", route) for route in own] == [one.openapi_url]
