"""hvac, the client that HashiCorp's documentation names for Python, against the lab's Vault. Ends with an exception where the two disagree.

Ends well, too, against a fresh OpenBao 2.7.2 (`bao server -dev`) with an unversioned mount at legacy/: what is asked for here is not our invention.
"""

import os
from contextlib import contextmanager

import hvac
from hvac import exceptions

URL = os.environ["VAULT_ADDR"]
TOKEN = os.environ["VAULT_TOKEN"]
PATH = "clusters/home/claim"


@contextmanager
def refused(kind, words=""):
    """What is inside must be refused with this kind of error, for a reason with these words."""
    try:
        yield
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused with {kind.__name__}")


def system(client):
    assert client.is_authenticated()
    assert not hvac.Client(url=URL, token="hvs.wrong").is_authenticated()
    assert client.sys.is_initialized() and not client.sys.is_sealed()
    health = client.sys.read_health_status(method="GET")
    assert (health["sealed"], health["standby"]) == (False, False), health
    assert client.sys.read_health_status().status_code == 200
    mounts = client.sys.list_mounted_secrets_engines()["data"]
    assert mounts["secret/"]["options"] == {"version": "2"} and mounts["legacy/"]["options"] == {"version": "1"}, mounts
    preflight = client.read("sys/internal/ui/mounts/secret/anything")["data"]
    assert (preflight["path"], preflight["options"]["version"], preflight["type"]) == ("secret/", "2", "kv"), preflight


def versioned(client):
    kv = client.secrets.kv.v2
    with refused(exceptions.InvalidPath):
        kv.read_secret_version(PATH, raise_on_deleted_version=True)
    made = kv.create_or_update_secret(PATH, secret={"value": "v1", "nonce": "n1"}, cas=0)
    assert made["data"]["version"] == 1, made
    with refused(exceptions.InvalidRequest, "check-and-set parameter did not match the current version"):
        kv.create_or_update_secret(PATH, secret={"value": "v2"}, cas=0)
    kv.create_or_update_secret(PATH, secret={"value": "v2"}, cas=1)
    read = kv.read_secret_version(PATH, raise_on_deleted_version=True)["data"]
    assert (read["data"], read["metadata"]["version"]) == ({"value": "v2"}, 2), read
    assert kv.read_secret_version(PATH, version=1, raise_on_deleted_version=True)["data"]["data"]["nonce"] == "n1"
    # hvac patches by reading and writing with cas.
    assert kv.patch(PATH, secret={"more": "m"})["data"]["version"] == 3

    kv.delete_latest_version_of_secret(PATH)
    with refused(exceptions.InvalidPath):
        kv.read_secret_version(PATH, raise_on_deleted_version=True)
    deleted = kv.read_secret_version(PATH, raise_on_deleted_version=False)["data"]
    assert deleted["data"] is None and deleted["metadata"]["version"] == 3 and deleted["metadata"]["deletion_time"], deleted
    with refused(exceptions.InvalidRequest, "did not match"):
        kv.create_or_update_secret(PATH, secret={"value": "v4"}, cas=0)
    kv.undelete_secret_versions(PATH, versions=[3])
    assert kv.read_secret_version(PATH, raise_on_deleted_version=True)["data"]["data"]["more"] == "m"
    kv.delete_secret_versions(PATH, versions=[1, 2])
    kv.destroy_secret_versions(PATH, versions=[3])

    kv.update_metadata(PATH, max_versions=5, cas_required=True, custom_metadata={"owner": "estate-1"})
    metadata = kv.read_secret_metadata(PATH)["data"]
    assert (metadata["current_version"], metadata["max_versions"], metadata["cas_required"]) == (3, 5, True), metadata
    assert metadata["custom_metadata"] == {"owner": "estate-1"}, metadata
    states = {number: (bool(version["deletion_time"]), version["destroyed"]) for number, version in metadata["versions"].items()}
    assert states == {"1": (True, False), "2": (True, False), "3": (False, True)}, states
    with refused(exceptions.InvalidRequest, "check-and-set parameter required for this call"):
        kv.create_or_update_secret(PATH, secret={"value": "v4"})
    assert kv.create_or_update_secret(PATH, secret={"value": "v4"}, cas=3)["data"]["version"] == 4

    kv.create_or_update_secret("clusters/home/nodes/cp-1/host-key", secret={"value": "k"})
    for lister in (kv, hvac.Client(url=URL, token=TOKEN, strict_http=True).secrets.kv.v2):
        assert lister.list_secrets("clusters/home")["data"]["keys"] == ["claim", "nodes/"]
        with refused(exceptions.InvalidPath):
            lister.list_secrets("nothing")
    kv.delete_metadata_and_all_versions(PATH)
    with refused(exceptions.InvalidPath):
        kv.read_secret_metadata(PATH)
    assert kv.create_or_update_secret(PATH, secret={"value": "again"}, cas=0)["data"]["version"] == 1

    kv.configure(max_versions=7, cas_required=False)
    assert kv.read_configuration()["data"]["max_versions"] == 7
    with refused(exceptions.InvalidPath):
        kv.read_secret_version(PATH, mount_point="legacy", raise_on_deleted_version=True)


def unversioned(client):
    kv = client.secrets.kv.v1
    kv.create_or_update_secret("a/b", secret={"value": "v"}, mount_point="legacy")
    assert kv.read_secret("a/b", mount_point="legacy")["data"] == {"value": "v"}
    assert kv.list_secrets("a", mount_point="legacy")["data"]["keys"] == ["b"]
    kv.delete_secret("a/b", mount_point="legacy")
    with refused(exceptions.InvalidPath):
        kv.read_secret("a/b", mount_point="legacy")


def tokens(client):
    root = client.auth.token.lookup_self()["data"]
    assert (root["ttl"], root["expire_time"], root["policies"], root["renewable"]) == (0, None, ["root"], False), root
    with refused(exceptions.InvalidRequest, "not renewable"):
        client.auth.token.renew_self()
    policy = 'path "secret/data/clusters/*" { capabilities = ["read", "create", "update"] }'
    client.sys.create_or_update_policy(name="clusters", policy=policy)
    assert "clusters" in client.sys.list_acl_policies()["data"]["keys"]
    made = client.auth.token.create(policies=["clusters"], ttl="1h")["auth"]
    assert made["token_policies"] == ["clusters", "default"] and made["lease_duration"] == 3600 and made["renewable"], made
    own = hvac.Client(url=URL, token=made["client_token"])
    seen = own.auth.token.lookup_self()["data"]
    assert 0 < seen["ttl"] <= 3600 and seen["type"] == "service" and seen["renewable"], seen
    assert own.auth.token.renew_self(increment="2h")["auth"]["lease_duration"] == 7200
    assert own.secrets.kv.v2.read_secret_version(PATH, raise_on_deleted_version=True)["data"]["data"] == {"value": "again"}
    with refused(exceptions.Forbidden, "permission denied"):
        own.secrets.kv.v2.delete_latest_version_of_secret(PATH)
    with refused(exceptions.Forbidden, "permission denied"):
        own.secrets.kv.v2.list_secrets("clusters")
    own.auth.token.revoke_self()
    # Vault adds that the token is invalid, OpenBao does not.
    with refused(exceptions.Forbidden, "permission denied"):
        own.auth.token.lookup_self()


def namespaces(client):
    client.sys.create_namespace("team")
    team = hvac.Client(url=URL, token=TOKEN, namespace="team")
    team.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    team.secrets.kv.v2.create_or_update_secret("a", secret={"value": "theirs"})
    assert team.secrets.kv.v2.read_secret_version("a", raise_on_deleted_version=True)["data"]["data"]["value"] == "theirs"
    with refused(exceptions.InvalidPath):
        client.secrets.kv.v2.read_secret_version("a", raise_on_deleted_version=True)


def main():
    client = hvac.Client(url=URL, token=TOKEN)
    system(client)
    versioned(client)
    unversioned(client)
    tokens(client)
    namespaces(client)


main()
