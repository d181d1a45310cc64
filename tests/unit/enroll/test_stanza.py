import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.enroll.stanza import Entry, items, read, with_entries
from nodeagent.errors import InvalidConfiguration

BOOT = Entry(attribute="postbootscripts", text="nodeagent-boot")
DUMP = """# <xCAT data object stanza file>

rocky8.4-x86_64-netboot-compute:
    objtype=osimage
    addkcmdline=modprobe.blacklist=nouveau crashkernel=256M
    # of ours
    postbootscripts=otherpkgs,mount-scratch /scratch
    profile=compute

cn1:
    objtype=node
    postbootscripts=otherpkgs
"""


def as_mkdef(text):
    """What ``mkdef -z`` stores, by its own rules: {object: {attribute: value}}."""
    found, name, looking = {}, "", True
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if re.search(r":\s*$", line):
            looking = False
            name, _, rest = line.rstrip().rpartition(":")
            if rest or "=" in name:
                looking = True
                continue
            name = name.strip()
        elif "=" in line and not looking:
            attribute, _, value = line.partition("=")
            value = re.sub(r'\s*"\s*$', "", re.sub(r'^\s*"\s*', "", value.strip()))
            if "default" not in name:
                found.setdefault(name, {})[attribute.strip()] = value
        else:
            looking = True
    return found


def test_an_entry_is_added_behind_the_others_and_nothing_else_changes():
    assert with_entries(DUMP, [BOOT]) == DUMP.replace("/scratch\n", "/scratch,nodeagent-boot\n")


def test_done_twice_it_is_as_done_once_also_with_another_password_in_between():
    once = with_entries(DUMP, [BOOT])
    with_password = with_entries(once, [Entry(attribute="postbootscripts", text="nodeagent-boot PASSWORD")])
    assert with_entries(once, [BOOT]) == once
    assert "/scratch,nodeagent-boot PASSWORD\n" in with_password
    assert with_entries(with_password, [BOOT]) == once


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("postbootscripts=a, git-config-execute.sh SECRET compute ,b", "postbootscripts=a, nodeagent-boot ,b"),
        ("postbootscripts=sub/git-config-execute.sh S,b,nodeagent-boot", "postbootscripts=nodeagent-boot,b"),
        ('postbootscripts="a,b"', 'postbootscripts="a,b,nodeagent-boot"'),
        ("postbootscripts=", "postbootscripts=nodeagent-boot"),
        ("postbootscripts=a,", "postbootscripts=a,nodeagent-boot"),
        ("  postbootscripts = a  ", "  postbootscripts = a,nodeagent-boot  "),
        ("postbootscripts=a\r", "postbootscripts=a,nodeagent-boot\r"),
        ("postbootscripts=a,\\\n    b", "postbootscripts=a,\\\n    b,nodeagent-boot"),
        ("postbootscripts=\\\n  git-config-execute.sh S,\\\n  b", "postbootscripts=\\\n  nodeagent-boot,\\\n  b"),
        ("postbootscripts=a # no comment", "postbootscripts=a # no comment,nodeagent-boot"),
        ("postbootscripts=a\npostbootscripts=b", "postbootscripts=a\npostbootscripts=b,nodeagent-boot"),
        ("# postbootscripts=a\\\nosname=x", "postbootscripts=nodeagent-boot\n# postbootscripts=a\\\nosname=x"),
    ],
)
def test_an_entry_goes_where_it_belongs(before, after):
    text = "image:\nobjtype=osimage\n%s\nosname=Linux"
    entry = Entry(attribute="postbootscripts", text="nodeagent-boot", instead={"git-config-execute.sh"})
    assert with_entries(text % before, [entry]) == text % after


def test_an_attribute_that_is_missing_is_added_below_the_type_as_that_is_indented():
    text = "image:\r\n\tobjtype=osimage\r\n\tosname=Linux\r\n"
    assert with_entries(text, [BOOT]) == text.replace("\tosname", "\tpostbootscripts=nodeagent-boot\r\n\tosname")


def test_an_osimage_that_stands_there_twice_is_one():
    text = "i:\nobjtype=osimage\npostbootscripts=a\ni:\nosname=Linux\n"
    assert with_entries(text, [BOOT]) == text.replace("=a\n", "=a,nodeagent-boot\n")


def test_only_the_named_osimage_is_changed():
    two = DUMP + DUMP.replace("rocky8.4", "rocky8.5").replace("cn1", "cn2")
    changed = with_entries(two, [BOOT], only="rocky8.5-x86_64-netboot-compute")
    assert changed == DUMP + with_entries(DUMP, [BOOT]).replace("rocky8.4", "rocky8.5").replace("cn1", "cn2")
    assert with_entries(two, [BOOT]).count("nodeagent-boot") == 2


@pytest.mark.parametrize(
    ("text", "only"),
    [("", ""), (DUMP, "rocky9"), ("cn1:\n  objtype=node\n", ""), ("default-osimage:\n objtype=osimage", "")],
)
def test_a_text_without_the_osimage_is_refused(text, only):
    with pytest.raises(InvalidConfiguration, match="lsdef"):
        with_entries(text, [BOOT], only=only)


names = st.from_regex(r"[a-z][a-z0-9.-]{0,8}", fullmatch=True).filter(lambda n: "default" not in n and n != "objtype")
values = st.text(
    st.characters(codec="utf-8", exclude_characters="\n\r\\\x85\u2028\u2029", exclude_categories=["Cc"]), max_size=20
)
scripts = st.lists(st.from_regex(r"[a-z]{1,6}( [A-Za-z0-9/]{1,4})?|nodeagent-boot( x)?", fullmatch=True), max_size=4)
attributes = st.one_of(
    st.builds("{}={}".format, names, values.filter(lambda v: not v.rstrip().endswith(":"))),
    st.builds(lambda found: "postbootscripts=" + ",".join(found), scripts),
    st.sampled_from(["# a comment", "", "   # postbootscripts=no"]),
)
objects = st.builds(
    lambda name, kind, rest, indent: "\n".join(
        [f"{name}:", f"{indent}objtype={kind}", *(indent + line for line in rest)]
    ),
    names, st.sampled_from(["osimage", "node"]), st.lists(attributes, max_size=6), st.sampled_from(["", "    ", "\t"]),
)  # fmt: skip


@given(st.lists(objects, max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_every_attribute_is_kept_and_only_postbootscripts_is_extended(found, ending):
    text = "\n".join(["image:\nobjtype=osimage", *found]).replace("\n", ending)
    changed = with_entries(text, [BOOT])

    assert with_entries(changed, [BOOT]) == changed
    before, after = as_mkdef(text), as_mkdef(changed)
    assert before.keys() == after.keys()
    for name, definition in after.items():
        if definition.get("objtype") == "osimage":
            listed = items(definition.pop("postbootscripts"))
            assert listed.count("nodeagent-boot") == 1
            others = [item for item in items(before[name].pop("postbootscripts", "")) if not BOOT.is_meant_by(item)]
            assert [item for item in listed if item != "nodeagent-boot"] == others
        assert definition == before[name]


@given(st.lists(objects, min_size=1, max_size=3, unique_by=lambda text: text.partition(":")[0]))
def test_a_stanza_is_read_as_mkdef_reads_it(found):
    text = "\n".join(found)
    ours = {d.name: {a.name: a.value for a in d.attributes} for d in read(text)}
    assert ours == as_mkdef(text)


@given(st.text(st.sampled_from("a=:#\\\"',\n\r\t postbootscripts"), max_size=60))
def test_no_text_makes_it_stumble_or_lose_a_line(noise):
    text = f"image:\nobjtype=osimage\n{noise}"
    changed = with_entries(text, [BOOT], only="image")
    assert abs(changed.count("\n") - text.count("\n")) <= 1
