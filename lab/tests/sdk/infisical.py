"""The vendor's own client against the lab's Infisical. Ends with an exception where the two disagree.

infisicalsdk speaks v3 raw for secrets and v2 for folders; it has no call for batches, so those go through its transport.
"""

import os
from contextlib import contextmanager

from infisical_sdk import InfisicalSDKClient
from infisical_sdk.infisical_requests import APIError

PROJECT = os.environ["INFISICAL_PROJECT_ID"]
PLACE = {"project_id": PROJECT, "environment_slug": "prod", "secret_path": "/clusters/home"}


@contextmanager
def refused(status, words=""):
    """What is inside must be refused with this status, for a reason with these words."""
    try:
        yield
    except APIError as error:
        assert error.status_code == status, error
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused with {status}")


def log_in():
    client = InfisicalSDKClient(host=os.environ["INFISICAL_HOST"], cache_ttl=None)
    with refused(401, "Invalid credentials"):
        client.auth.universal_auth.login(os.environ["INFISICAL_UNIVERSAL_AUTH_CLIENT_ID"], "wrong")
    login = client.auth.universal_auth.login(
        os.environ["INFISICAL_UNIVERSAL_AUTH_CLIENT_ID"], os.environ["INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"]
    )
    assert (login.tokenType, login.expiresIn, login.accessTokenMaxTTL) == ("Bearer", 2592000, 2592000), login
    return client


def folders(client):
    made = client.folders.create_folder(name="home", path="/clusters", environment_slug="prod", project_id=PROJECT, description="one cluster")
    assert (made.name, made.path, made.description) == ("home", "/clusters/home", "one cluster"), made
    again = client.folders.create_folder(name="home", path="/clusters", environment_slug="prod", project_id=PROJECT)
    assert again.id == made.id, "a folder that exists is the answer"
    listed = client.folders.list_folders(project_id=PROJECT, environment_slug="prod", path="/")
    assert [folder.name for folder in listed.folders] == ["clusters"], listed
    listed = client.folders.list_folders(project_id=PROJECT, environment_slug="prod", path="/", recursive=True)
    assert [folder.relativePath for folder in listed.folders] == ["/clusters", "/clusters/home"], listed
    seen = client.folders.get_folder_by_id(made.id)
    assert (seen.projectId, seen.environment.envSlug, seen.path) == (PROJECT, "prod", "/clusters/home"), seen
    other = client.folders.create_folder(name="away", path="/clusters", environment_slug="prod", project_id=PROJECT)
    renamed = client.folders.update_folder(other.id, name="far", path="/clusters", environment_slug="prod", project_id=PROJECT)
    assert (renamed.id, renamed.path) == (other.id, "/clusters/far"), renamed
    gone = client.folders.delete_folder("far", path="/clusters", environment_slug="prod", project_id=PROJECT)
    assert gone.id == other.id, gone
    with refused(422, "Invalid folder name"):
        client.folders.create_folder(name="a.b", environment_slug="prod", project_id=PROJECT)


def secrets(client):
    made = client.secrets.create_secret_by_name(
        "K8S_JOIN_TOKEN", secret_value="abcdef.0123456789abcdef", secret_comment="set by strata", secret_metadata=[{"key": "nonce", "value": "n1"}], **PLACE
    )
    assert (made.secretKey, made.version, made.type, made.workspace) == ("K8S_JOIN_TOKEN", 1, "shared", PROJECT), made
    with refused(400, "Secret already exist"):
        client.secrets.create_secret_by_name("K8S_JOIN_TOKEN", secret_value="other", **PLACE)
    seen = client.secrets.get_secret_by_name("K8S_JOIN_TOKEN", **PLACE)
    assert (seen.id, seen.secretValue, seen.secretComment) == (made.id, "abcdef.0123456789abcdef", "set by strata"), seen
    assert seen.secretMetadata == [{"key": "nonce", "value": "n1", "isEncrypted": False}], seen
    updated = client.secrets.update_secret_by_name("K8S_JOIN_TOKEN", secret_value="new", **PLACE)
    assert updated.version == 2, updated
    assert client.secrets.get_secret_by_name("K8S_JOIN_TOKEN", version="1", **PLACE).secretValue == "abcdef.0123456789abcdef"
    hidden = client.secrets.get_secret_by_name("K8S_JOIN_TOKEN", view_secret_value=False, **PLACE)
    assert hidden.secretValueHidden and hidden.secretValue == "<hidden-by-infisical>", hidden
    by_slug = client.secrets.get_secret_by_name("K8S_JOIN_TOKEN", environment_slug="prod", secret_path="/clusters/home", project_slug="strata-lab")
    assert by_slug.secretValue == "new", by_slug

    client.secrets.create_secret_by_name("URL", secret_value="https://${K8S_JOIN_TOKEN}/", **PLACE)
    assert client.secrets.get_secret_by_name("URL", **PLACE).secretValue == "https://new/"
    assert client.secrets.get_secret_by_name("URL", expand_secret_references=False, **PLACE).secretValue == "https://${K8S_JOIN_TOKEN}/"
    renamed = client.secrets.update_secret_by_name("URL", new_secret_name="ADDRESS", **PLACE)
    assert renamed.secretKey == "ADDRESS", renamed
    listed = client.secrets.list_secrets(environment_slug="prod", secret_path="/", project_id=PROJECT, recursive=True)
    assert [(secret.secretPath, secret.secretKey) for secret in listed.secrets] == [("/clusters/home", "ADDRESS"), ("/clusters/home", "K8S_JOIN_TOKEN")], listed
    assert listed.imports == [], listed

    gone = client.secrets.delete_secret_by_name("ADDRESS", **PLACE)
    assert gone.secretKey == "ADDRESS", gone
    with refused(404, "Secret with name 'ADDRESS' not found"):
        client.secrets.get_secret_by_name("ADDRESS", **PLACE)
    with refused(404):
        client.secrets.delete_secret_by_name("ADDRESS", **PLACE)
    with refused(404, "Folder with path '/none'"):
        client.secrets.create_secret_by_name("A", secret_value="v", project_id=PROJECT, environment_slug="prod", secret_path="/none")
    # The client does not escape the name: a slash makes another route of it, a colon is refused by the rule.
    with refused(422, "colon"):
        client.secrets.create_secret_by_name("a:b", secret_value="v", **PLACE)


def batches(client):
    def body(mode=None, **values):
        items = [{"secretKey": key, "secretValue": value} for key, value in values.items()]
        return {"workspaceId": PROJECT, "environment": "prod", "secretPath": "/clusters/home", "mode": mode, "secrets": items}

    path = "/api/v3/secrets/batch/raw"
    made = client.api.post(path, model=dict, json=body(A="1", B="2")).data
    assert [secret["version"] for secret in made["secrets"]] == [1, 1], made
    with refused(400, "Secret already exist: A"):
        client.api.post(path, model=dict, json=body(A="1", C="3"))
    with refused(404, "C"):
        client.api.patch(path, model=dict, json=body(A="4", C="3"))
    changed = client.api.patch(path, model=dict, json=body("upsert", A="4", C="3")).data
    assert [secret["version"] for secret in changed["secrets"]] == [2, 1], changed
    client.api.delete(path, model=dict, json=body(A="", B="", C=""))
    listed = client.secrets.list_secrets(**PLACE)
    assert [secret.secretKey for secret in listed.secrets] == ["K8S_JOIN_TOKEN"], listed


def main():
    client = log_in()
    folders(client)
    secrets(client)
    batches(client)
    with refused(403, "malformed"):
        InfisicalSDKClient(host=os.environ["INFISICAL_HOST"], token="nonsense", cache_ttl=None).secrets.list_secrets(**PLACE)


main()
