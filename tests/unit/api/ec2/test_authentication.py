from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from provisioner.api.ec2 import replays
from provisioner.api.ec2.endpoint import MAX_BODY_BYTES
from provisioner.api.ec2.replays import REPEAT_S
from provisioner.api.ec2.signature import MAX_SKEW_S
from provisioner.core.errors import PermanentError
from tests.unit.api.conftest import TOKEN, Api
from tests.unit.api.ec2.conftest import PARSED, PUBLIC_KEY, Ec2, code_of, later

IMPORT = f"Action=ImportKeyPair&Version=2016-11-15&KeyName=k&PublicKeyMaterial={quote(PUBLIC_KEY)}"
REGIONS = "Action=DescribeRegions&Version=2016-11-15"


def test_a_request_that_is_signed_is_answered(ec2: Ec2) -> None:
    answer = ec2.call("DescribeRegions")
    assert answer.status_code == 200, answer.text
    assert "<regionName>metal</regionName>" in answer.text


@pytest.mark.parametrize("path", ["/ec2", "/ec2/"])
def test_the_path_is_part_of_what_is_signed(ec2: Ec2, path: str) -> None:
    answer = ec2.send(ec2.signed(REGIONS), url=path)
    # The signature of the tests' client is for the path without a slash at its end.
    assert (answer.status_code == 200) == (path == "/ec2"), answer.text


def test_any_region_may_be_signed_for(ec2: Ec2) -> None:
    assert ec2.send(ec2.signed(REGIONS, region="us-east-1")).status_code == 200


def test_a_request_for_another_service_is_refused(ec2: Ec2) -> None:
    answer = ec2.send(ec2.signed(REGIONS, service="s3"))
    assert (answer.status_code, code_of(answer)) == (403, "SignatureDoesNotMatch")


def test_a_changed_body_is_refused(ec2: Ec2) -> None:
    request = ec2.signed(REGIONS)
    answer = ec2.send(request, content=REGIONS.replace("Regions", "Images"))
    assert (answer.status_code, code_of(answer)) == (403, "SignatureDoesNotMatch")


def test_a_changed_header_that_was_signed_is_refused(ec2: Ec2) -> None:
    answer = ec2.send(ec2.signed(REGIONS), headers={"Content-Type": "text/plain"})
    assert code_of(answer) == "SignatureDoesNotMatch"


def test_a_wrong_secret_is_refused_and_told_to_nobody(ec2: Ec2) -> None:
    secret, ec2.secret = ec2.secret, "guess"
    answer = ec2.send(ec2.signed(REGIONS))
    assert code_of(answer) == "SignatureDoesNotMatch"
    assert secret not in answer.text


def test_an_unknown_key_is_refused(ec2: Ec2) -> None:
    ec2.id = "AKIANOBODYSKEY000000"
    assert code_of(ec2.send(ec2.signed(REGIONS))) == "InvalidClientTokenId"


def test_a_deleted_key_is_refused_at_once(ec2: Ec2) -> None:
    assert ec2.call("DescribeRegions").status_code == 200
    ec2.api.call("DELETE", f"/v1/access-keys/{ec2.id}").raise_for_status()
    assert code_of(ec2.call("DescribeRegions")) == "InvalidClientTokenId"


def test_a_request_may_be_repeated_within_the_second_that_signatures_count_in(api: Api, ec2: Ec2) -> None:
    request = ec2.signed(REGIONS)
    assert [ec2.send(request).status_code for _ in range(2)] == [200, 200]
    later(api, REPEAT_S + 1)
    assert code_of(ec2.send(request)) == "RequestExpired"


def test_orders_that_undo_one_another_in_a_second_are_all_carried_out(ec2: Ec2) -> None:
    put, take = ec2.signed(IMPORT), ec2.signed("Action=DeleteKeyPair&Version=2016-11-15&KeyName=k")
    assert [ec2.send(one).status_code for one in (put, take, put, take, put)] == [200] * 5
    assert "<keyName>k</keyName>" in ec2.call("DescribeKeyPairs").text


RUN = "Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1"


@pytest.mark.parametrize(("token", "again"), [("", "RequestExpired"), ("&ClientToken=t", "MissingParameter")])
def test_what_would_be_another_machine_is_not_repeated(ec2: Ec2, token: str, again: str) -> None:
    request = ec2.signed(RUN + token)
    assert [code_of(ec2.send(request)) for _ in range(2)] == ["MissingParameter", again]


def test_a_request_that_was_refused_is_not_remembered(ec2: Ec2) -> None:
    request = ec2.signed(REGIONS)
    assert ec2.send(request, content="Action=DescribeImages").status_code == 403
    assert ec2.send(request).status_code == 200


@pytest.mark.parametrize("seconds", [MAX_SKEW_S + 5, -MAX_SKEW_S - 5])
def test_a_request_of_another_time_is_refused(api: Api, ec2: Ec2, seconds: float) -> None:
    later(api, seconds)
    assert code_of(ec2.call("DescribeRegions")) == "RequestExpired"


def test_a_replay_is_refused_for_as_long_as_its_time_would_do(api: Api, ec2: Ec2) -> None:
    later(api, -MAX_SKEW_S + 5)  # it is signed nearly MAX_SKEW_S ahead
    request = ec2.signed(REGIONS)
    assert ec2.send(request).status_code == 200
    later(api, 2 * MAX_SKEW_S - 20)
    assert "accepted already" in ec2.send(request).text
    later(api, 30)
    assert "has expired" in ec2.send(request).text


def test_what_is_remembered_is_bounded(ec2: Ec2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "MAX_REMEMBERED", 2)
    calls = ("DescribeRegions", "DescribeImages", "DescribeInstances")
    assert [ec2.call(name).status_code for name in calls] == [200, 200, 503]


SCOPE = "Credential=A/20260101/r/ec2/aws4_request"
AUTHORIZATIONS = [
    "",
    f"Bearer {TOKEN}",
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 Credential=A/20260101/r/ec2/aws4_request, SignedHeaders=host;x-amz-date, Signature="
    + "0" * 64,
    "AWS4-HMAC-SHA256 Credential=A/20260101/r/ec2/aws4_request\n, SignedHeaders=host, Signature=" + "0" * 64,
    "AWS4-HMAC-SHA256 " + "," * 5000,
]


@pytest.mark.parametrize("authorization", AUTHORIZATIONS)
def test_a_request_that_is_not_signed_is_refused(ec2: Ec2, authorization: str) -> None:
    answer = ec2.send(ec2.signed(REGIONS), headers={"Authorization": authorization})
    assert answer.status_code in (400, 403)
    assert code_of(answer) in ("MissingAuthenticationToken", "IncompleteSignature")


@pytest.mark.parametrize("date", ["", "20260101T000000Z\n", "yesterday", "20269999T999999Z", "0" * 1000])
def test_a_time_that_is_none_is_refused(ec2: Ec2, date: str) -> None:
    request = ec2.signed(REGIONS)
    headers = {**PARSED, "Authorization": request.headers["Authorization"], "X-Amz-Date": date.strip()}
    answer = ec2.api.call("POST", "/ec2", content=REGIONS, headers=headers)
    assert code_of(answer) in ("IncompleteSignature",)


def test_host_and_time_must_be_signed(ec2: Ec2) -> None:
    request = ec2.signed(REGIONS)
    told = request.headers["Authorization"].replace("x-amz-date", "content-type")
    assert code_of(ec2.send(request, headers={"Authorization": told})) == "IncompleteSignature"


def test_temporary_credentials_are_refused(ec2: Ec2) -> None:
    answer = ec2.send(ec2.signed(REGIONS, **{"X-Amz-Security-Token": "any"}))
    assert code_of(answer) == "InvalidClientTokenId"


def test_a_body_that_is_too_large_is_refused(ec2: Ec2) -> None:
    answer = ec2.send(ec2.signed("Action=" + "A" * MAX_BODY_BYTES))
    assert (answer.status_code, code_of(answer)) == (413, "RequestEntityTooLarge")


def test_a_token_of_the_rest_api_opens_nothing_here(ec2: Ec2) -> None:
    answer = ec2.api.call("POST", "/ec2", content=REGIONS)
    assert isinstance(answer, httpx.Response)
    assert answer.status_code in (400, 403)


def test_a_query_in_the_url_is_refused(ec2: Ec2) -> None:
    answer = ec2.send(ec2.signed(REGIONS), url="/ec2?Action=DescribeImages")
    assert code_of(answer) == "MalformedQueryString"


def test_a_key_that_can_not_be_read_now_is_said_to_be_so_and_nothing_of_why(api: Api, ec2: Ec2) -> None:
    """In the middle of a rotation this host has not the file yet."""

    def closed(sealed: str) -> str:
        raise PermanentError(
            "open a secret", device="file /etc/provisioner/secret.key", answer="it is sealed anew"
        )

    api.context.unseal = closed
    api.context.forget_credentials()
    answer = ec2.call("DescribeRegions")
    assert (answer.status_code, code_of(answer)) == (503, "Unavailable")
    assert "secret.key" not in answer.text and "sealed" not in answer.text
