from __future__ import annotations

from base64 import b64decode

from provisioner.core.ec2_ids import instance_id as public_id
from provisioner.core.model import ConsoleTail, Instance, Node
from provisioner.core.states import InstanceState, ProvisionState
from provisioner.protocols.store import Tx
from tests.unit.api.conftest import Api
from tests.unit.api.ec2.conftest import Ec2
from tests.unit.records import instance, node

NODE = "00000001-89ab-4def-8123-000000000000"
FIRST, SECOND = "01234567-89ab-4def-8123-000000000000", "11234567-89ab-4def-8123-000000000000"


def test_the_console_of_a_node_tells_a_tenant_nothing_of_the_tenant_before(api: Api, ec2: Ec2) -> None:
    """Nor while the node is the next one's already, and nothing was recorded of it yet."""
    first, second = api.user_of("first", "member"), api.user_of("second", "member")
    had = instance(id=FIRST, name="one", tenant="first", state=InstanceState.ACTIVE, node_id=NODE)
    api.transact(lambda tx: tx.insert(had, node(id=NODE, state=ProvisionState.ACTIVE, instance_id=FIRST)))
    api.run(api.say(NODE, "a secret of the first\n"))
    assert first.call("GET", "/v1/instances/one/console").text == "a secret of the first\n"

    def hand_over(tx: Tx) -> None:
        tx.update(Instance, FIRST, {"state": InstanceState.DELETED})
        has = {"id": SECOND, "name": "two", "tenant": "second", "node_id": NODE}
        tx.insert(instance(**has, state=InstanceState.ACTIVE))
        tx.update(Node, NODE, {"instance_id": SECOND})

    api.transact(hand_over)
    theirs = Ec2(ec2.api, "second")

    def told() -> tuple[str, str]:
        answer = theirs.read("GetConsoleOutput", InstanceId=public_id(SECOND))
        return second.call("GET", "/v1/instances/two/console").text, b64decode(answer["Output"]).decode()

    assert told() == ("", "")
    api.run(api.say(NODE, "login: "))
    assert told() == ("login: ", "login: ")
    assert first.call("GET", f"/v1/instances/{FIRST}/console").text == ""
    assert api.call("GET", "/v1/nodes/n1/console").text == "a secret of the first\nlogin: "


def test_a_process_that_records_no_consoles_tells_what_their_host_told(api: Api, ec2: Ec2) -> None:
    api.context.consoles = None
    has = instance(id=FIRST, name="one", state=InstanceState.ACTIVE, node_id=NODE)
    api.transact(lambda tx: tx.insert(has, node(id=NODE, state=ProvisionState.ACTIVE, instance_id=FIRST)))

    def told() -> str:
        answer = ec2.read("GetConsoleOutput", InstanceId=public_id(FIRST))
        return b64decode(answer["Output"]).decode()

    assert told() == ""
    at = api.context_now()
    api.transact(lambda tx: tx.insert(ConsoleTail(id=NODE, instance_id=FIRST, text="login: ", updated_at=at)))
    assert told() == "login: "
    api.transact(lambda tx: tx.delete(ConsoleTail, NODE))
    api.transact(
        lambda tx: tx.insert(ConsoleTail(id=NODE, instance_id=SECOND, text="another's", updated_at=at))
    )
    assert told() == ""
    api.transact(lambda tx: tx.update(ConsoleTail, NODE, {"instance_id": FIRST}))
    api.transact(lambda tx: tx.update(Instance, FIRST, {"state": InstanceState.DELETED}))
    assert told() == ""
