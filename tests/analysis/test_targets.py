"""What `explain.target` asks for, in the words of an author and the columns of a model."""

from pgx_compiler.analysis.targets import all_targets, primary_target, target_name

CLASSES = ("good", "bad", "ugly")


def test_one_target_is_itself_and_has_no_others_beside_it():
    for word in ("predicted", "label", "bad"):
        assert primary_target(word, CLASSES) == word
        assert all_targets(word, CLASSES) == ()
    assert (primary_target(["bad"], CLASSES), all_targets(["bad"], CLASSES)) == ("bad", ())


def test_of_a_list_the_first_is_the_one_that_is_compared():
    asked = ["ugly", "predicted", "good"]
    assert primary_target(asked, CLASSES) == "ugly"
    assert all_targets(asked, CLASSES) == (2, "predicted", 0)


def test_all_means_every_class_with_the_predicted_one_first_in_importance():
    assert primary_target("all", CLASSES) == "predicted"
    assert all_targets("all", CLASSES) == (0, 1, 2)


def test_a_class_that_is_called_all_is_a_class():
    classes = ("none", "all")
    assert (primary_target("all", classes), all_targets("all", classes)) == ("all", ())
    assert all_targets(["none", "all"], classes) == (0, 1)


def test_a_class_that_is_called_predicted_is_not_mixed_up_among_all():
    assert all_targets("all", ("predicted", "label")) == (0, 1)
    assert target_name(0, ("predicted", "label")) == "predicted"
    assert target_name("predicted", CLASSES) == "each row's predicted class"
