"""Classes say of every value what the set says, on widths small enough to try all values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fwtrans.ir.intervals import IntervalSet
from fwtrans.ir.names import NamePattern, NameSet
from fwtrans.semantics.bdd import Bdd
from fwtrans.semantics.classes import NameClasses, NumberClasses, run_node

WIDTH = 4
NUMBERS = range(1 << WIDTH)
number_sets = st.builds(lambda values: IntervalSet.values(WIDTH, values), st.sets(st.sampled_from(NUMBERS)))
names = st.sampled_from(["", "a", "ab", "abc", "b", "ba", "c"])
patterns = st.builds(NamePattern, names, st.booleans())
NAMES = ("", "a", "ab", "abc", "abcd", "abd", "b", "ba", "bb", "c", "ca", "z", "aa")


def runs_hold(runs: list[tuple[int, int]], place: int) -> bool:
    return any(low <= place <= high for low, high in runs)


@given(st.lists(number_sets, min_size=1, max_size=5))
def test_a_collected_set_and_all_made_of_such_sets_are_unions_of_classes(sets: list[IntervalSet]) -> None:
    classes = NumberClasses(WIDTH, sets)
    made = [*sets, *(item.complement() for item in sets), sets[0].union(sets[-1]), sets[0].difference(sets[-1])]
    for values in made:
        runs = classes.runs(values)
        for value in NUMBERS:
            assert runs_hold(runs, classes.class_of(value)) == (value in values)


@given(st.lists(number_sets, min_size=1, max_size=5))
def test_members_of_a_class_are_told_apart_by_no_set(sets: list[IntervalSet]) -> None:
    classes = NumberClasses(WIDTH, sets)
    seen: set[int] = set()
    for number in range(classes.count):
        values = [value for low, high in classes.members(number) for value in range(low, high + 1)]
        seen.update(values)
        assert {classes.class_of(value) for value in values} == {number}
        assert len({tuple(value in item for item in sets) for value in values}) == 1
    assert seen == set(NUMBERS)
    assert classes.count == len({tuple(value in item for item in sets) for value in NUMBERS})


@given(st.lists(number_sets, max_size=4), number_sets.filter(lambda item: not item.is_empty))
def test_impossible_values_have_no_class(sets: list[IntervalSet], possible: IntervalSet) -> None:
    classes = NumberClasses(WIDTH, sets, possible)
    assert [value for value in NUMBERS if classes.class_of(value) >= 0] == [v for v in NUMBERS if v in possible]
    for values in sets:
        runs = classes.runs(values)
        for value in NUMBERS:
            if value in possible:
                assert runs_hold(runs, classes.class_of(value)) == (value in values)


def test_a_big_set_alone_has_two_classes() -> None:
    scattered = IntervalSet.of(32, ((base << 8, (base << 8) + 15) for base in range(50_000)))
    assert NumberClasses(32, [scattered]).count == 2


@given(st.lists(st.lists(st.tuples(patterns, st.booleans()), max_size=4), min_size=1, max_size=4))
def test_name_classes_decide_as_the_sets_do(described: list[list[tuple[NamePattern, bool]]]) -> None:
    sets = []
    for entries in described:
        names_in = NameSet.of(pattern for pattern, inside in entries if inside)
        sets.append(names_in.difference(NameSet.of(pattern for pattern, inside in entries if not inside)))
    classes = NameClasses(sets)
    for item in (*sets, *(item.complement() for item in sets)):
        runs = classes.runs(item)
        for name in NAMES:
            assert runs_hold(runs, classes.class_of(name)) == (name in item)


def test_no_name_is_a_class_of_its_own() -> None:
    classes = NameClasses([NameSet.prefix("eth")])
    assert len({classes.class_of(name) for name in ("", "eth0", "wg0")}) == 3
    assert classes.class_of("eth") == classes.class_of("eth7")


@given(st.integers(1, 13), st.data())
def test_runs_as_functions(count: int, data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.integers(0, count - 1)))
    runs = list(IntervalSet.values(8, chosen).ranges)
    bdd = Bdd(10_000)
    variables = [bdd.variables[number] for number in bdd.add_variables((count - 1).bit_length())]
    node = run_node(bdd, variables, count, runs)
    for code in range(1 << len(variables)):
        bits = [(at, bool(code >> (len(variables) - 1 - at) & 1)) for at in range(len(variables))]
        assert node.eval(bits) == (min(code, count - 1) in chosen)
