"""proxmoxer, the client that Proxmox's documentation names for Python, against the lab's Proxmox. Ends with an exception where the two disagree.

The image that is uploaded is made by pycdlib: that the lab reads it shows that it reads ISO 9660, and not only what we write.
"""

import io
import os
import tempfile
import time
from contextlib import contextmanager
from urllib.parse import urlparse

import pycdlib
from proxmoxer import ProxmoxAPI, ResourceException

ENDPOINT = urlparse(os.environ["PROXMOX_VE_ENDPOINT"])
TOKEN, _, VALUE = os.environ["PROXMOX_VE_API_TOKEN"].partition("=")
USER, _, NAME = TOKEN.partition("!")


@contextmanager
def refused(status, words=""):
    """What is inside must be refused with this status, for a reason with these words."""
    try:
        yield
    except ResourceException as error:
        assert error.status_code == status and words in str(error), error
    else:
        raise AssertionError(f"not refused with {status}")


def client(ca, user=USER, name=NAME, value=VALUE):
    return ProxmoxAPI(ENDPOINT.hostname, port=ENDPOINT.port, user=user, token_name=name, token_value=value, verify_ssl=ca)


def finish(api, upid, exit_status="OK"):
    """Waits for the end of a task, and for this one."""
    node = upid.split(":")[1]
    for _ in range(600):
        status = api.nodes(node).tasks(upid).status.get()
        if status["status"] == "stopped":
            assert status["exitstatus"] == exit_status, status
            return api.nodes(node).tasks(upid).log.get()
        time.sleep(0.05)
    raise AssertionError(f"{upid} does not end")


def cluster(api):
    assert api.version.get()["version"].startswith("9.")
    assert [node["node"] for node in api.nodes.get()] == ["pve1", "pve2", "pve3"]
    assert api.cluster.status.get()[0]["quorate"] == 1
    with refused(501, "not implemented"):
        api.nodes("pve1").nonsense.get()
    with refused(500, "hostname lookup 'pve9' failed"):
        api.nodes("pve9").qemu.get()


def wrong_login(ca):
    begin = time.monotonic()
    with refused(401):
        client(ca, value="0" * 36).version.get()
    # Three seconds of the lab's clock, which is sixty times faster.
    assert time.monotonic() - begin > 0.04


def machines(api):
    pve1 = api.nodes("pve1")
    vmid = int(api.cluster.nextid.get())
    assert vmid == 100
    with refused(400, "Parameter verification failed"):
        pve1.qemu.post(vmid=vmid, nonsense=1)
    with refused(400, "Parameter verification failed"):
        pve1.qemu.post(vmid=vmid, cores="many")
    with refused(500, "only root can set 'args' config"):
        pve1.qemu.post(vmid=vmid, args="-S")
    with refused(500, "storage 'local' is not configured for content-type 'images'"):
        pve1.qemu.post(vmid=vmid, scsi0="local:8")
    options = {"scsi0": "local-lvm:8,discard=on", "net0": "virtio,bridge=vmbr0", "ide2": "none,media=cdrom", "tags": "B;a", "cipassword": "secret"}
    upid = pve1.qemu.post(vmid=vmid, name="cp-1", cores=2, memory=2048, agent="enabled=1", **options)
    # Until it is made there is a lock, and the number is taken.
    assert pve1.qemu(vmid).config.get()["lock"] == "create"
    with refused(500, "VM 100 already exists on node 'pve1'"):
        pve1.qemu.post(vmid=vmid)
    with refused(400, "Parameter verification failed"):
        api.cluster.nextid.get(vmid=vmid)
    finish(api, upid)

    config = pve1.qemu(vmid).config.get()
    assert config["scsi0"] == "local-lvm:vm-100-disk-0,discard=on,size=8G", config
    assert config["net0"].startswith("virtio=BC:24:11:") and config["tags"] == "b;a", config
    assert config["cipassword"] == "*" * 10 and "uuid=" in config["smbios1"] and "ctime=" in config["meta"], config
    with refused(500, "does not exist"):
        api.nodes("pve2").qemu(vmid).config.get()
    with refused(500, "checksum mismatch"):
        pve1.qemu(vmid).config.put(cores=3, digest="0" * 40)
    pve1.qemu(vmid).config.put(cores=3, digest=config["digest"])
    finish(api, pve1.qemu(vmid).resize.put(disk="scsi0", size="+2G"))
    with refused(500, "shrinking disks is not supported"):
        pve1.qemu(vmid).resize.put(disk="scsi0", size="1G")
    assert pve1.qemu(vmid).config.get()["scsi0"].endswith("size=10G")
    line = api.cluster.resources.get(type="vm")[0]
    assert (line["id"], line["node"], line["status"], line["maxcpu"]) == ("qemu/100", "pve1", "stopped", 3), line
    return vmid


def power(api, vmid):
    vm = api.nodes("pve1").qemu(vmid)
    with refused(500, "is not running"):
        vm.agent("network-get-interfaces").get()
    finish(api, vm.status.start.post())
    finish(api, vm.status.start.post(), f"VM {vmid} already running")
    assert vm.status.current.get()["status"] == "running"
    with refused(500, "QEMU guest agent is not running"):
        vm.agent.ping.post()
    # What a machine cannot change while it runs waits.
    vm.config.put(memory=4096, name="cp-one")
    waits = {line["key"]: line["pending"] for line in vm.pending.get() if "pending" in line}
    assert waits == {"memory": "4096"}, waits
    assert vm.config.get(current=1)["memory"] == "2048" and vm.config.get()["memory"] == "4096"
    with refused(500, "is running - destroy failed"):
        vm.delete()
    finish(api, vm.status.stop.post())
    assert vm.pending.get() and not [line for line in vm.pending.get() if "pending" in line]
    vm.config.put(protection=1)
    with refused(500, "protection mode enabled"):
        vm.delete()
    vm.config.put(delete="protection")


def image():
    """An ISO image with the label `cidata`, by a program that is not ours."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, vol_ident="cidata", rock_ridge="1.09")
    for plain, name, text in [("METADATA", "meta-data", b"instance-id: x\n"), ("USERDATA", "user-data", b"machine: {}\n")]:
        iso.add_fp(io.BytesIO(text), len(text), f"/{plain}.;1", rr_name=name)
    iso.write("cidata.iso")
    iso.close()


def files(api, vmid):
    local = api.nodes("pve1").storage("local")
    image()
    with open("cidata.iso", "rb") as file:
        finish(api, local.upload.post(content="iso", filename=file))
    assert [file["volid"] for file in local.content.get(content="iso")] == ["local:iso/cidata.iso"]
    with open("cidata.iso", "rb") as file, refused(500, "not configured for content-type 'iso'"):
        api.nodes("pve1").storage("local-lvm").upload.post(content="iso", filename=file)
    api.nodes("pve1").qemu(vmid).config.put(ide2="local:iso/cidata.iso,media=cdrom")
    with refused(500, "volume 'local:iso/other.iso' does not exist"):
        api.nodes("pve1").qemu(vmid).config.put(ide2="local:iso/other.iso,media=cdrom")
    url = "https://factory.talos.dev/image/" + "0" * 64 + "/v1.13.9/nocloud-amd64.qcow2"
    upid = local("download-url").post(content="import", filename="x.qcow2", url=url)
    finish(api, upid, f"download failed: '{url}' - 404 Not Found")


def access(api, ca):
    with refused(400, "Parameter verification failed"):
        api.access.roles.post(roleid="PVECSI", privs="VM.Audit")
    with refused(500, "invalid privilege 'VM.Fly'"):
        api.access.roles.post(roleid="CSI", privs="VM.Fly")
    api.access.roles.post(roleid="CSI", privs="VM.Audit,VM.Config.Disk")
    with refused(500, "role 'CSI' already exists"):
        api.access.roles.post(roleid="CSI", privs="VM.Audit")
    api.access.users.post(userid="csi@pve", comment="driver")
    made = api.access.users("csi@pve").token("csi").post(privsep=1)
    assert made["full-tokenid"] == "csi@pve!csi" and len(made["value"]) == 36, made
    assert "value" not in api.access.users("csi@pve").token("csi").get()
    with refused(400, "Parameter verification failed"):
        api.access.users("csi@pve").token("csi").post()
    csi = client(ca, "csi@pve", "csi", made["value"])
    # With privilege separation both the user and the token need it.
    for whom in [{"users": "csi@pve"}, {"tokens": "csi@pve!csi"}]:
        assert csi.cluster.resources.get(type="vm") == []
        for _ in range(2):
            api.access.acl.put(path="/vms", roles="CSI", **whom)
    assert [line["vmid"] for line in csi.cluster.resources.get(type="vm")] == [100]
    with refused(403, "Permission check failed (/vms/100, VM.PowerMgmt)"):
        csi.nodes("pve1").qemu(100).status.start.post()
    assert len(api.access.acl.get()) == 2
    api.access.users("csi@pve").delete()
    assert api.access.acl.get() == []
    with refused(401):
        csi.version.get()


def pools(api, vmid):
    api.pools.post(poolid="lab")
    api.pools.put(poolid="lab", vms=str(vmid))
    with refused(500, "already a pool member"):
        api.pools.put(poolid="lab", vms=str(vmid))
    with refused(500, "pool 'lab' is not empty (contains VM 100)"):
        api.pools.delete(poolid="lab")
    assert api.pools.get(poolid="lab")[0]["members"][0]["vmid"] == vmid
    api.pools.put(poolid="lab", vms=str(vmid), delete=1)
    api.pools.delete(poolid="lab")


def clones(api, vmid):
    vm = api.nodes("pve1").qemu(vmid)
    upid = vm.clone.post(newid=200, name="copy", full=1)
    tasks = api.nodes("pve1").tasks
    assert [task["upid"] for task in tasks.get(source="active")] == [upid]
    assert upid not in [task["upid"] for task in tasks.get()]
    with refused(500, "VM is locked (clone)"):
        api.nodes("pve1").qemu(200).status.start.post()
    finish(api, upid)
    first, copy = vm.config.get(), api.nodes("pve1").qemu(200).config.get()
    assert first["net0"] != copy["net0"] and "vm-200-disk-0" in copy["scsi0"], copy
    finish(api, vm.template.post())
    assert vm.config.get()["template"] == 1
    with refused(500, "you can't start a vm if it's a template"):
        vm.status.start.post()
    for inapt in [{"storage": "local-lvm"}, {"format": "raw"}]:
        with refused(400, "not allowed for linked clones"):
            vm.clone.post(newid=201, **inapt)
    with refused(500, "config file already exists"):
        vm.clone.post(newid=200)
    upid = vm.clone.post(newid=201, name="linked", description="of a template")
    assert upid.split(":")[5] == "qmclone", upid
    finish(api, upid)
    linked = api.nodes("pve1").qemu(201).config.get()
    assert linked["name"] == "linked" and linked["description"] == "of a template", linked
    assert "template" not in linked, linked
    for one in [201, 200, vmid]:
        finish(api, api.nodes("pve1").qemu(one).delete(purge=1))
    assert api.cluster.resources.get(type="vm") == []


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("ca.pem", "w", encoding="ascii") as file:
            file.write(os.environ["STRATA_PROXMOX_CA"])
        api = client("ca.pem")
        cluster(api)
        wrong_login("ca.pem")
        vmid = machines(api)
        power(api, vmid)
        files(api, vmid)
        access(api, "ca.pem")
        pools(api, vmid)
        clones(api, vmid)
        os.chdir("/")


main()
