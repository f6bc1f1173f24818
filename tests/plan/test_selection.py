"""`-s`: what an expression names, what that needs, and what is said of one that names nothing."""

import pytest

from pgx_compiler.diagnostics.diagnostic import AuthorError
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.plan.selection import select

GROUND = {"model": "model", "rows": "rows"}
GRAPH = Graph(
    [
        Node("data", "data"),
        Node("model", "model"),
        Node("precaution.drift", "check", {"train": "data"}, method="drift", step="drift"),
        Node("rows", "rows", {"data": "data"}),
        Node("explain.small", "attribute", GROUND, method="kernel_shap", step="small"),
        Node("explain.k[samples=512]", "attribute", GROUND, method="kernel_shap", step="k[samples=512]"),
        Node("explain.ig", "attribute", GROUND, method="integrated_gradients", step="ig"),
        Node(
            "agreement.r.small~ig",
            "compare",
            {"first": "explain.small", "second": "explain.ig"},
            method="rank_correlation",
            step="r",
        ),
    ]
)
STATES = {
    "precaution.drift": "hit",
    "rows": "hit",
    "explain.small": "run",
    "explain.k[samples=512]": "hit",
    "explain.ig": "hit",
    "agreement.r.small~ig": "run?",
}


def chosen(*expressions):
    return set(select(GRAPH, expressions, lambda: STATES).chosen)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("ig", {"explain.ig"}),
        ("explain.ig", {"explain.ig"}),
        ("+ig", {"explain.ig", "rows"}),
        ("ig+", {"explain.ig", "agreement.r.small~ig"}),
        ("+ig+", {"explain.ig", "agreement.r.small~ig", "rows"}),
        ("data+", set(STATES)),
        ("stage:precaution", {"precaution.drift"}),
        ("stage:gradient", {"explain.ig"}),
        ("stage:explain", {"explain.small", "explain.k[samples=512]", "explain.ig"}),
        ("stage:ground", {"rows"}),
        ("method:kernel_shap", {"explain.small", "explain.k[samples=512]"}),
        ("method:*_shap", {"explain.small", "explain.k[samples=512]"}),
        ("k[samples=*]", {"explain.k[samples=512]"}),
        ("k[samples=512]", {"explain.k[samples=512]"}),
        ("state:modified", {"explain.small", "agreement.r.small~ig"}),
        ("state:modified,stage:agreement", {"agreement.r.small~ig"}),
        ("+agreement.*,stage:explain", {"explain.small", "explain.ig"}),
    ],
)
def test_an_expression_names(expression, names):
    assert chosen(expression) == names


def test_several_expressions_add_up():
    assert chosen("ig", "stage:precaution") == {"explain.ig", "precaution.drift"}


def test_what_the_chosen_rest_on_is_needed_and_nothing_else():
    found = select(GRAPH, ["r"], lambda: STATES)
    assert found.needed == {"explain.small", "explain.ig", "rows", "model", "data"}
    assert GRAPH.only(found.nodes).ids  # whole: no node of it needs one that is left out


def test_states_are_looked_up_only_where_they_are_asked_for():
    def unasked():
        raise AssertionError("looked up")

    assert select(GRAPH, ["ig"], unasked).chosen == {"explain.ig"}


@pytest.mark.parametrize(
    ("expression", "said", "help_"),
    [
        ("smal", "`smal` selects no node", "did you mean `small`?"),
        ("stage:gradeint", "`stage:gradeint` selects no node", "did you mean `stage:gradient`?"),
        ("stage:faithfulness", "this plan has none", "lists the nodes"),
        ("method:kernel_shop", "selects no node", "did you mean `method:kernel_shap`?"),
        ("state:modifed", "selects no node", "did you mean `state:modified`?"),
        ("ig,drift", "no node is in all of its parts", "lists the nodes"),
        ("model", "selects no node", "lists the nodes"),
        ("", "a term needs a name", "write"),
        ("+", "a term needs a name", "write"),
        ("++ig", "a term needs a name", "write"),
    ],
)
def test_what_names_nothing_is_the_authors_mistake_with_a_way_out(expression, said, help_):
    with pytest.raises(AuthorError) as error:
        chosen(expression)
    (item,) = error.value.diagnostics
    assert said in item.message
    assert help_ in item.help
