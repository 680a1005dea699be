"""Which sets and elements are left when all commands have been carried out."""

from __future__ import annotations

from tests.parsers.ipset_save.reading import cells, only_set, read, read_well


def texts(script: str) -> dict[str, list[str]]:
    """Return the elements that are left, as text, by set."""
    return {
        item.name: [",".join(part.text for part in element.parts) for element in item.elements]
        for item in read_well(script).sets
    }


def test_deleted_elements_are_gone() -> None:
    assert texts("create x hash:ip\nadd x 10.0.0.1\nadd x 10.0.0.2\ndel x 10.0.0.1\n") == {"x": ["10.0.0.2"]}


def test_a_whole_range_stays_as_written() -> None:
    assert texts("create x hash:ip\nadd x 10.0.0.0/30\nadd x 10.0.1.1\ndel x 10.0.1.1\n") == {"x": ["10.0.0.0/30"]}


def test_a_range_without_its_middle_is_taken_apart() -> None:
    left = texts("create x hash:ip\nadd x 10.0.0.1-10.0.0.4\ndel x 10.0.0.2\n")
    assert left == {"x": ["10.0.0.1", "10.0.0.3", "10.0.0.4"]}


def test_networks_of_a_range_can_be_deleted_as_prefixes() -> None:
    left = texts("create x hash:net\nadd x 10.0.0.0-10.0.0.5\ndel x 10.0.0.4/31\n")
    assert left == {"x": ["10.0.0.0/30"]}


def test_a_prefix_inside_of_a_prefix_is_not_what_was_added() -> None:
    _, codes = read("create x hash:net\nadd x 10.0.0.0/8\ndel x 10.0.0.0/9\n")
    assert codes == ["FWT124"]


def test_ports_of_a_range_can_be_deleted() -> None:
    left = texts("create x hash:ip,port\nadd x 10.0.0.1,udp:5-7\ndel x 10.0.0.1,udp:6\n")
    assert left == {"x": ["10.0.0.1,udp:5", "10.0.0.1,udp:7"]}


def test_what_is_left_reads_back_as_the_same() -> None:
    script = "create x hash:ip,port\nadd x 10.0.0.0/30,udp:5-7\ndel x 10.0.0.1,udp:6\n"
    (left,) = read_well(script).sets
    lines = "".join(f"add x {','.join(part.text for part in element.parts)}\n" for element in left.elements)
    assert cells("create x hash:ip,port\n" + lines) == cells(script)


def test_swap_changes_content_and_type_of_a_name() -> None:
    script = (
        "create a hash:ip timeout 5\ncreate b hash:ip\nadd a 10.0.0.1 timeout 1\nswap a b\nadd b 10.0.0.2 timeout 2\n"
    )
    assert texts(script) == {"a": [], "b": ["10.0.0.1", "10.0.0.2"]}


def test_members_of_a_list_follow_the_name_through_swap() -> None:
    script = "create a hash:ip\ncreate b hash:ip\ncreate l list:set\nadd l a\nadd b 10.0.0.1\nswap a b\n"
    assert texts(script) == {"a": ["10.0.0.1"], "b": [], "l": ["a"]}


def test_rename_keeps_the_elements() -> None:
    assert texts("create a hash:ip\nadd a 10.0.0.1\nrename a c\nadd c 10.0.0.2\n") == {"c": ["10.0.0.1", "10.0.0.2"]}


def test_destroy_and_flush_without_a_name_mean_all() -> None:
    assert texts("create a hash:ip\nadd a 10.0.0.1\ncreate b hash:net\nadd b 10.0.0.1\nflush\n") == {"a": [], "b": []}
    assert texts("create a hash:ip\ncreate b hash:net\ndestroy\n") == {}


def test_a_set_in_a_list_is_in_use() -> None:
    start = "create a hash:ip\ncreate l list:set\nadd l a\n"
    for command in ("destroy a", "destroy", "rename a b"):
        assert read(start + command + "\n")[1] == ["FWT124"], command
    for release in ("destroy l", "flush l", "del l a", "flush"):
        assert "a" not in texts(f"{start}{release}\ndestroy a\n"), release


def test_neighbours_decide_the_order_of_a_list() -> None:
    sets = "".join(f"create {name} hash:ip\n" for name in "abcd")
    script = sets + "create l list:set\nadd l a\nadd l b before a\nadd l c after b\nadd l d\n"
    assert texts(script)["l"] == ["b", "c", "a", "d"]


def test_exist_replaces_what_is_there() -> None:
    script = "create x hash:ip timeout 5\nadd x 10.0.0.1 timeout 1\nadd x 10.0.0.2\nadd x 10.0.0.1 timeout 9 -exist\n"
    (found,) = read_well(script).sets
    assert [(element.parts[0].text, element.options.timeout) for element in found.elements] == [
        ("10.0.0.1", 9),
        ("10.0.0.2", None),
    ]


def test_exist_holds_for_the_rest_of_a_file() -> None:
    script = "create x hash:ip -exist\nadd x 10.0.0.1\nadd x 10.0.0.1\ndel x 10.0.0.9\ncreate x hash:ip hashsize 64\n"
    assert texts(script) == {"x": ["10.0.0.1"]}


def test_exist_does_not_forgive_another_set_of_the_name() -> None:
    for other in ("hash:net", "hash:ip timeout 5", "hash:ip family inet6", "hash:ip maxelem 5"):
        assert read(f"create x hash:ip\ncreate x {other} -exist\n")[1] == ["FWT124"], other


def test_netmask_makes_one_element_of_two() -> None:
    script = "create x hash:ip netmask 24\nadd x 10.0.0.1\n"
    assert read(script + "add x 10.0.0.2\n")[1] == ["FWT124"]
    assert len(only_set(script + "add x 10.0.1.2\n").elements) == 2


def test_a_full_set_takes_no_more() -> None:
    script = "create x hash:ip maxelem 2\nadd x 10.0.0.1\nadd x 10.0.0.2\n"
    assert read(script + "add x 10.0.0.3\n")[1] == ["FWT123"]
    assert read(script + "del x 10.0.0.1\nadd x 10.0.0.3\n")[1] == []


def test_a_range_of_millions_is_refused_at_once() -> None:
    assert read("create x hash:ip maxelem 99999999\nadd x 10.0.0.0/8\n")[1] == ["FWT123"]
    assert read("create x hash:ip,port maxelem 99999999\nadd x 10.0.0.0/20,1-60000\n")[1] == ["FWT123"]


def test_ranges_that_the_kernel_misreads_are_given_as_it_reads_them() -> None:
    assert texts("create x bitmap:ip range 10.0.0.0/24 netmask 29\nadd x 10.0.0.4-10.0.0.19\n") == {
        "x": ["10.0.0.0", "10.0.0.8"]
    }
    assert texts("create x hash:ip bitmask 255.255.255.0\nadd x 10.0.0.5-10.0.1.3\n") == {"x": ["10.0.1.0"]}
    assert texts("create x hash:ip netmask 29\nadd x 10.0.0.4-10.0.0.19\n") == {"x": ["10.0.0.4-10.0.0.19"]}


def test_an_address_that_waits_for_its_mac_address_is_given_one_once() -> None:
    script = "create x bitmap:ip,mac range 10.0.0.0/24\nadd x 10.0.0.1\nadd x 10.0.0.1,00:00:5e:00:53:01\n"
    assert texts(script) == {"x": ["10.0.0.1,00:00:5e:00:53:01"]}
    for again in ("10.0.0.1,00:00:5e:00:53:02", "10.0.0.1"):
        assert read(script + f"add x {again}\n")[1] == ["FWT124"]
