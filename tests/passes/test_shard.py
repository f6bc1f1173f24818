"""What sharding promises of whole graphs: the golden page `shard.txt` has single steps."""

from dataclasses import replace
from itertools import pairwise

import pytest

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.text import parse, render
from pgx_compiler.ir.verify import IllegalGraph, verify
from pgx_compiler.passes.context import Sharding
from pgx_compiler.passes.runner import PIPELINE, BrokenPass, Pass, run_passes
from pgx_compiler.passes.shard import borders, shards_of
from pgx_compiler.plan.shards import folded, folded_documents, groups_of
from tests.passes import synthetic

SMALL = replace(synthetic.context(), sharding=Sharding(least=25_000_000))


def compiled(told=SMALL, nodes=14) -> Graph:
    return run_passes(synthetic.graph_of(nodes), told)


def gathers(graph: Graph) -> list[Node]:
    return [node for node in graph if node.op == "gather"]


def test_the_shards_of_a_step_are_its_rows_each_once_under_its_own_seed():
    whole = {node.id: node for node in compiled(synthetic.context())}
    assert not any(node.op == "gather" for node in whole.values())
    cut = compiled()
    assert gathers(cut)
    for gather in gathers(cut):
        shards = shards_of(gather, cut)
        rows = [row for one in shards for row in range(*one.params["part"])]
        assert rows == list(range(10))
        assert {one.seed for one in shards} == {whole[gather.id].seed}
        assert {one.runtime for one in shards} == {whole[gather.id].runtime}
        assert gather.runtime is None
        assert len({one.key for one in (*shards, gather)}) == len(shards) + 1


def test_a_graph_in_one_piece_again_is_the_one_that_was_cut():
    def plainly(graph):
        return render(graph, fields=("params", "step", "source", "line", "runtime", "seed", "salt", "note"))

    cut = compiled()
    assert plainly(folded(cut)) == plainly(compiled(synthetic.context()))
    assert parse(render(cut)) == cut
    documents = {
        node.id: {"op": node.op, "inputs": dict(node.inputs), "params": dict(node.params), "cost": dict(node.cost)}
        for node in cut
    }
    again = folded_documents(documents)
    assert {name: (node["op"], node["inputs"], node["params"], node["cost"]) for name, node in again.items()} == {
        node.id: (node.op, node.inputs, node.params, node.cost) for node in folded(cut)
    }


def test_the_price_of_a_step_is_that_of_its_shards_and_only_base_values_are_paid_for_again():
    whole = {node.id: node.cost for node in compiled(synthetic.context())}
    for node in folded(compiled()):
        parts = len(groups_of(compiled()).get(node.id, ()))
        more = 5 * (parts - 1) if parts and node.op == "attribute" else 0  # 5 references, once a shard
        assert node.cost["forward"] == whole[node.id]["forward"] + more, node.id
        assert node.cost["backward"] == whole[node.id]["backward"]


def test_what_is_not_cut_keeps_its_key_unless_it_rests_on_what_is():
    whole = {node.id: node.key for node in compiled(synthetic.context())}
    cut = compiled()
    below = cut.downstream(*[node.id for node in gathers(cut)]) | {node.id for node in gathers(cut)}
    kept = [node for node in cut if node.id in whole and node.id not in below]
    assert kept
    assert {node.id: node.key for node in kept} == {node.id: whole[node.id] for node in kept}


def test_a_shard_is_known_by_its_rows_and_by_nothing_of_the_others():
    # cut into 2 or into 5: the first half begins alike and ends elsewhere; the same rows have one key
    of_two = replace(SMALL, sharding=Sharding(least=25_000_000, most=2))
    of_four = replace(SMALL, sharding=Sharding(least=25_000_000, most=4))
    keys = {}
    for told in (of_two, of_four):
        graph = compiled(told)
        for one in shards_of(graph["explain.s0"], graph):
            keys.setdefault(tuple(one.params["part"]), set()).add(one.key)
    assert set(keys) == {(0, 5), (5, 10), (0, 2), (2, 5), (5, 7), (7, 10)}
    assert all(len(held) == 1 for held in keys.values())
    assert len(set.union(*keys.values())) == 6


GROUND = synthetic.graph_of(6)


def attribution(rows: int, asked: int) -> tuple[Node, object]:
    ports = {"model": "model.onnx", "data": "data.test", "rows": "rows", "references": "references"}
    node = Node("explain.a", "attribute", ports, {"with": {}}, "occlusion", cost={"forward": asked, "backward": 0})
    return node, replace(synthetic.context(), rows=rows)


@pytest.mark.parametrize(
    ("rows", "asked", "shards"),
    [
        (1_000, 499_999, 0),  # x (20,000 + 0): a work of 1e10 makes two shards of 5e9
        (1_000, 500_000, 2),
        (1_000, 1_999_999, 7),
        (1_000, 4_000_000, 16),
        (1_000, 400_000_000, 16),
        (1_000, 4_250_000_000, 17),  # 8.5e13: none of them is beyond 5e12
        (1_000, 10**12, 256),
        (3, 10**12, 3),  # a row is not parted
        (1, 10**12, 0),
    ],
)
def test_how_many_shards_there_are_follows_from_work_and_rows(rows, asked, shards):
    node, told = attribution(rows, asked)
    told = replace(told, models={"onnx": replace(told.models["onnx"], work_per_row=0)})
    found = borders(node, GROUND, told)
    assert max(len(found) - 1, 0) == shards
    if found:
        sizes = [stop - start for start, stop in pairwise(found)]
        assert (found[0], found[-1]) == (0, rows)
        assert max(sizes) - min(sizes) <= 1


def test_a_row_of_a_large_network_is_worth_many_of_a_small_table():
    node, told = attribution(64, 6_400)
    small = replace(told, models={"onnx": replace(told.models["onnx"], work_per_row=10_000)})
    large = replace(told, models={"onnx": replace(told.models["onnx"], work_per_row=400_000_000)})
    assert borders(node, GROUND, small) == []
    assert len(borders(node, GROUND, large)) == 17


def test_a_step_that_every_shard_would_begin_anew_stays_whole():
    # 20 removed features x 5 references + 1 a row; of 10 rows 1,010 and the base value's 5: every further shard asks 5 more
    node, told = attribution(10, 1_015)
    told = replace(told, sharding=Sharding(least=1, again=0.05))
    assert len(borders(node, GROUND, told)) - 1 == 10  # 1 + 0.05 x 1,015 / 5 would be 11; rows are 10
    assert len(borders(node, GROUND, replace(told, sharding=Sharding(least=1, again=0.02)))) - 1 == 5  # 1 + 4
    assert borders(node, GROUND, replace(told, sharding=Sharding(least=1, again=0.004))) == []


def broken(change):
    """The pipeline up to sharding, with its result changed before its promises are looked at."""
    place = next(number for number, one in enumerate(PIPELINE) if one.name == "shard")
    kept = PIPELINE[place]
    return (*PIPELINE[:place], Pass(lambda graph, told: change(kept.run(graph, told)), kept.ensures, holds=kept.holds))


def test_a_lost_shard_a_changed_seed_and_a_border_within_a_batch_are_named():
    def without_the_last(graph):
        def change(node):
            ports = sorted(port for port in node.inputs if port.startswith("shard."))
            left = {port: needed for port, needed in node.inputs.items() if port not in ports[-1:]}
            return node.but(inputs=left) if node.op == "gather" else node

        return graph.map(change)

    with pytest.raises(BrokenPass, match=r"after test_shard: explain\.s0: its shards are not its 10 rows"):
        run_passes(synthetic.graph_of(14), SMALL, broken(without_the_last))

    def reseeded(graph):
        return graph.map(lambda node: node.but(seed=1) if node.id == "explain.s0#02" else node)

    with pytest.raises(BrokenPass, match=r"after test_shard: explain\.s0: its shards do different work"):
        run_passes(synthetic.graph_of(14), SMALL, broken(reseeded))

    def of_a_batch(graph):
        return graph.map(
            lambda node: (
                node.but(method="saliency", params={**node.params, "part": [3, 10]})
                if node.id == "explain.s1"
                else node
            )
        )

    with pytest.raises(BrokenPass, match=r"after test_shard: explain\.s1: its rows cannot be parted at 3"):
        run_passes(synthetic.graph_of(14).only([n for n in synthetic.graph_of(14).ids if "agreement" not in n and "faith" not in n]), SMALL, broken(of_a_batch))  # fmt: skip


def test_only_a_gathering_may_read_a_shard_and_only_those_of_its_own_work():
    cut = compiled()
    name = "agreement.rank_correlation.s0~s1"
    greedy = cut.map(
        lambda node: node.but(inputs={**node.inputs, "first": "explain.s0#01"}) if node.id == name else node
    )
    with pytest.raises(IllegalGraph, match=r"port `first` takes attribution, but `explain\.s0#01` makes shard"):
        verify(greedy)
    other = cut.map(lambda node: node.but(params={**node.params, "of": "judge"}) if node.id == "explain.s0" else node)
    with pytest.raises(IllegalGraph):
        verify(other)
