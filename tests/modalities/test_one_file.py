"""To add a modality is to add one file: everything else takes it from there."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HYPERSPACE = '''"""Rows with four axes of places, for a test."""

from pgx_compiler.modalities.volume import *  # noqa: F403

PLACES, NUMERIC = 4, True
'''

ASKED = """
import json, sys
import pgx_compiler.modalities
pgx_compiler.modalities.__path__.append(sys.argv[1])
from pgx_compiler.analysis.strategy.rules import RULES
from pgx_compiler.cli import main
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.schema import audit_schema
told = {
    "schema": audit_schema()["$defs"]["Data"]["properties"]["modality"],
    "methods": [d.name for d in catalogue().values() if "hyperspace" in d.modalities],
    "rules": [rule.method for rule in RULES if "hyperspace" in rule.when.modalities],
}
print(json.dumps(told))
sys.exit(main(["methods", "--modality", "hyperspace", "--stage", "gradient"]))
"""


def test_a_file_is_all_that_a_modality_takes(tmp_path: Path) -> None:
    (tmp_path / "hyperspace.py").write_text(HYPERSPACE)
    ran = subprocess.run(
        [sys.executable, "-c", ASKED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, _, listed = ran.stdout.partition("\n")
    told = json.loads(first)
    assert "hyperspace" in json.dumps(told["schema"])
    assert {"kernel_shap", "integrated_gradients", "smoothgrad", "grad_cam", "lrp", "drift"} <= set(told["methods"])
    assert not {"tree_shap", "xrai", "attention_rollout"} & set(told["methods"])
    assert {"smoothgrad", "necessary_features"} <= set(told["rules"])
    assert "grad_cam" in listed
    assert "xrai" not in listed
