"""Fields described by the text below them: read when asked for, inherited, and in the JSON Schema."""

import subprocess
import sys
from typing import Annotated

from pydantic import Field

from pgx_compiler.documented import Documented, description


class Animal(Documented):
    name: str
    """What it is called.

    By whom does not matter.
    """
    legs: int = 4
    weight: Annotated[float, Field(description="said by itself")] = 1.0
    """Not this."""


class Dog(Animal):
    from_: str = Field("street", alias="from")
    """Where it comes from."""
    friend: Animal = Animal(name="cat")
    """Whom it likes."""


def test_a_description_is_the_text_below_the_field() -> None:
    assert description(Animal, "name") == "What it is called.\n\nBy whom does not matter."
    assert description(Animal, "legs") is None
    assert description(Animal, "weight") == "said by itself"


def test_a_class_inherits_the_descriptions_of_its_fields() -> None:
    assert description(Dog, "name") == description(Animal, "name")
    assert description(Dog, "from_") == "Where it comes from."


def test_the_schema_describes_its_properties_by_the_names_that_files_use() -> None:
    schema = Dog.model_json_schema(by_alias=True)
    described = {name: one.get("description") for name, one in schema["properties"].items()}
    assert described["from"] == "Where it comes from."
    assert described["friend"] == "Whom it likes."
    assert described["legs"] is None
    assert schema["$defs"]["Animal"]["properties"]["weight"]["description"] == "said by itself"
    assert Dog.model_json_schema(by_alias=False)["properties"]["from_"]["description"] == "Where it comes from."


def test_a_class_inside_a_function_is_found() -> None:
    class Local(Documented):
        here: int
        """In a function."""

    assert description(Local, "here") == "In a function."


def test_no_source_is_read_where_nobody_asks() -> None:
    code = "import sys, ast; ast.parse = None; import pgx_compiler.spec.model as m; m.AuditSpec.model_fields"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
