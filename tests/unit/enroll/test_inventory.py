import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.enroll import inventory
from nodeagent.enroll.stanza import read
from nodeagent.errors import InvalidConfiguration

DUMP = """rocky8.4-x86_64-netboot-compute:
    objtype=osimage
    imagetype=linux
    osarch=x86_64
    osname=Linux
    osvers=rocky8.4
    permission=755
    pkglist=/a.pkglist,/b.pkglist
    postbootscripts=otherpkgs,nodeagent-boot
    profile=compute
    provmethod=netboot
    rootimgdir=/install/netboot/rocky8.4/x86_64/compute
cn1:
    objtype=node
    ip=10.0.0.1
"""


def test_an_osimage_is_what_xcat_inventory_exports():
    assert yaml.safe_load(inventory.dump(read(DUMP))) == {
        "osimage": {
            "rocky8.4-x86_64-netboot-compute": {
                "imagetype": "linux",
                "basic_attributes": {"arch": "x86_64", "osname": "Linux", "distribution": "rocky8.4"},
                "genimgoptions": {"permission": "755", "rootimgdir": "/install/netboot/rocky8.4/x86_64/compute"},
                "package_selection": {"pkglist": ["/a.pkglist", "/b.pkglist"]},
                "scripts": {"postbootscripts": ["otherpkgs", "nodeagent-boot"]},
                "role": "compute",
                "provision_mode": "netboot",
            }
        },
        "schema_version": "2.0",
    }


def test_an_attribute_that_would_be_lost_is_refused():
    with pytest.raises(InvalidConfiguration, match="winpepath: xcat-inventory has no place"):
        inventory.dump(read("i:\n objtype=osimage\n winpepath=/x\n"))


known = st.sampled_from(sorted(inventory._PLACES.keys() - {"comments"}))


@given(st.dictionaries(known, st.from_regex(r"[A-Za-z0-9/.-]{1,9}(,[a-z]{1,3})?", fullmatch=True)))
def test_every_value_arrives(values):
    text = "i:\n objtype=osimage\n" + "".join(f" {name}={value}\n" for name, value in values.items())
    image = yaml.safe_load(inventory.dump(read(text)))["osimage"]["i"] or {}
    found = []
    for value in image.values():
        found += list(value.values()) if isinstance(value, dict) else [value]
    assert sorted(",".join(v) if isinstance(v, list) else v for v in found) == sorted(values.values())
