"""Which objects of the store a node reads: what its process will be shown, and nothing else."""

from pgx_compiler.execute.reads import reads_of

A, B, C, D = (letter * 64 for letter in "abcd")


def test_names_models_weights_data_vocabularies_and_masks():
    inputs = {
        "model": {"params": {"sha256": A, "suffix": ".onnx", "beside": {"w/weights.bin": B}}, "record": None},
        "data": {"params": {"sha256": C, "suffix": ".csv", "text": {"tokenizer": {"vocabulary": [D, ".json"]}}}, "record": None},
    }  # fmt: skip
    params = {"regions": {"border": ["e" * 64, ".png"]}}
    assert reads_of(params, inputs) == (
        f"objects/aa/{A}.onnx",
        f"objects/bb/{B}.bin",
        f"objects/cc/{C}.csv",
        f"objects/dd/{D}.json",
        f"objects/ee/{'e' * 64}.png",
    )


def test_names_both_objects_of_an_inputs_result():
    record = {"document": A, "arrays": B}
    assert reads_of({}, {"rows": {"params": {}, "record": record}}) == (f"objects/aa/{A}.json", f"objects/bb/{B}.npz")


def test_a_result_without_arrays_has_one():
    record = {"document": A, "arrays": None}
    assert reads_of({}, {"rows": {"params": {}, "record": record}}) == (f"objects/aa/{A}.json",)


def test_words_that_are_no_digests_name_nothing():
    assert reads_of({"output": ["x", "y"], "sha256": "short", "name": "Z" * 64}, {}) == ()
