import pytest

from stylegan_tool.errors import ModelError
from stylegan_tool.model_info import SCHEMA, ModelInfo


def test_metadata_comes_back() -> None:
    info = ModelInfo(schema=SCHEMA, style="x", direction="B2A", domain_a="photo", domain_b="ukiyoe", ngf=24, n_blocks=5)
    metadata = info.to_metadata()
    assert metadata["sgt.direction"] == "B2A"
    assert ModelInfo.from_metadata({**metadata, "producer": "somebody"}) == info


def test_domains_follow_the_direction() -> None:
    forward = ModelInfo(direction="A2B", domain_a="photo", domain_b="monet")
    backward = ModelInfo(direction="B2A", domain_a="photo", domain_b="monet")
    assert (forward.source, forward.target) == ("photo", "monet")
    assert (backward.source, backward.target) == ("monet", "photo")


def test_foreign_metadata_promises_nothing() -> None:
    info = ModelInfo.from_metadata({"author": "somebody"})
    assert info.direction == info.source == info.target == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"sgt.schema": str(SCHEMA + 1)}, "later version", id="newer schema"),
        pytest.param({"sgt.ngf": "many"}, "damaged", id="no number"),
        pytest.param({"sgt.direction": "AtoB"}, "damaged", id="unknown direction"),
        pytest.param({"sgt.size_multiple": "0"}, "damaged", id="multiple of nothing"),
    ],
)
def test_unfit_metadata_is_refused(change: dict[str, str], message: str) -> None:
    metadata = {**ModelInfo(schema=SCHEMA, direction="A2B").to_metadata(), **change}
    with pytest.raises(ModelError, match=message) as caught:
        ModelInfo.from_metadata(metadata, path="some.onnx")
    assert "some.onnx" in caught.value.what
