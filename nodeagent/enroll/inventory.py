"""An osimage as xcat-inventory's YAML (schema 2.0): the form in which a definition is kept in git and imported."""

from collections.abc import Sequence

from nodeagent.enroll import yaml
from nodeagent.enroll.stanza import Definition, items
from nodeagent.errors import InvalidConfiguration

SCHEMA = "2.0"

# Where xcat-inventory has each attribute (its schema/2.0/osimage.yaml). A list is one that it joins with commas.
_PLACES = {
    "imagetype": "imagetype",
    "osvers": "basic_attributes.distribution",
    "osarch": "basic_attributes.arch",
    "osdistroname": "basic_attributes.osdistro",
    "osname": "basic_attributes.osname",
    "description": "basic_attributes.description",
    "groups": "basic_attributes.groups",
    "profile": "role",
    "provmethod": "provision_mode",
    "pkglist": "package_selection.pkglist",
    "pkgdir": "package_selection.pkgdir",
    "otherpkglist": "package_selection.otherpkglist",
    "otherpkgdir": "package_selection.otherpkgdir",
    "osupdatename": "osupdatename",
    "driverupdatesrc": "kernel_driver.driverupdatesrc",
    "netdrivers": "kernel_driver.netdrivers",
    "kerneldir": "kernel_driver.kerneldir",
    "kernelver": "kernel_driver.kernelver",
    "postscripts": "scripts.postscripts",
    "postbootscripts": "scripts.postbootscripts",
    "environvar": "environvars",
    "dump": "kernel_dump.dump",
    "crashkernelsize": "kernel_dump.crashkernelsize",
    "template": "template",
    "partitionfile": "diskpartitionspec",
    "synclists": "filestosync",
    "addkcmdline": "addkcmdline",
    "boottarget": "boottarget",
    "exlist": "genimgoptions.exlist",
    "postinstall": "genimgoptions.postinstall",
    "rootimgdir": "genimgoptions.rootimgdir",
    "nodebootif": "genimgoptions.nodebootif",
    "permission": "genimgoptions.permission",
    "rootfstype": "genimgoptions.rootfstype",
    "cfmdir": "deprecated.cfmdir",
    "serverrole": "deprecated.serverrole",
    "kitcomponents": "deprecated.kitcomponents",
    "isdeletable": "deprecated.isdeletable",
    "otherifce": "deprecated.otherifce",
    "usercomment": "deprecated.comments",
    "comments": "deprecated.comments",
    "krpmver": "deprecated.krpmver",
}
_LISTS = frozenset(
    (
        "pkglist",
        "pkgdir",
        "otherpkglist",
        "otherpkgdir",
        "postscripts",
        "postbootscripts",
        "synclists",
        "exlist",
        "postinstall",
    )
)


def dump(definitions: Sequence[Definition]) -> str:
    """The osimages as a document that ``xcat-inventory import`` reads.

    Raises:
        InvalidConfiguration: one has an attribute that xcat-inventory has no place for: nothing is dropped.
    """
    images = {definition.name: _image(definition) for definition in definitions if definition.is_osimage}
    return yaml.dump({"osimage": images, "schema_version": SCHEMA})


def _image(definition: Definition) -> dict[str, yaml.Value]:
    image: dict[str, yaml.Value] = {}
    for attribute in {a.name: a for a in definition.attributes}.values():  # the last one counts
        if attribute.name == "objtype":
            continue
        place = _PLACES.get(attribute.name)
        if place is None:
            raise InvalidConfiguration(
                f"{definition.name}: {attribute.name}: xcat-inventory has no place for this attribute, which would be "
                "lost: take it out, or use --format stanza"
            )
        value: yaml.Value = items(attribute.value) if attribute.name in _LISTS else attribute.value
        table, _, key = place.rpartition(".")
        if table:
            below = image.setdefault(table, {})
            assert isinstance(below, dict), "no name in the schema is both"
            below[key] = value
        else:
            image[key] = value
    return image
