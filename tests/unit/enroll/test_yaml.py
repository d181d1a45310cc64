import pytest
import yaml as reference
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.enroll import yaml

texts = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.text(st.sampled_from("a -:#\n\t'\"\\&*!|>%@`{}[],0.~\u2028\x85\r")),
    st.sampled_from(
        ["yes", "No", "null", "~", "1e3", "0x1", "2020-01-01", "1:20", "", " a", "a\nb\n", "a\n\n b\nc\n", "=", "<<"]
    ),
)
values = st.recursive(
    texts,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_what_is_dumped_is_loaded_again(mapping):
    assert (reference.safe_load(yaml.dump(mapping)) or {}) == mapping


def test_it_reads_like_written_by_hand():
    mapping = {
        "osimage": {"x": {"scripts": {"postbootscripts": ["otherpkgs", "nodeagent-boot"]}, "permission": "755"}},
        "write_files": [{"path": "/etc/a", "content": "first\n\n  second\n"}],
        "runcmd": [["systemctl", "start", "x.service"]],
    }
    assert yaml.dump(mapping) == (
        "osimage:\n  x:\n    scripts:\n      postbootscripts:\n        - otherpkgs\n        - nodeagent-boot\n"
        '    permission: "755"\n'
        "write_files:\n  - path: /etc/a\n    content: |\n      first\n\n        second\n"
        "runcmd:\n  - - systemctl\n    - start\n    - x.service\n"
    )


@pytest.mark.parametrize("word", ["yes", "off", "NULL", "1.5", "12:30:45", ".inf", "a: b", "a #b", "- a", "\ud7ff\x7f"])
def test_what_another_reader_takes_for_something_else_is_quoted(word):
    assert yaml.dump({"key": word}).startswith('key: "')
