from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import picture

from gencv.core.errors import BadInput, ModelUnavailable, UnknownName
from gencv.models.rerankers import BATCH_SIZE, ENCODE_ID, Blip, load_reranker

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "green", "shoe", "cat"]
PICTURES = [picture(seed, *size) for seed, size in enumerate([(96, 72), (40, 90), (3, 5), (1, 1), (4, 3)])]


def config(vocab_size: int = len(WORDS)) -> object:
    from transformers import BlipConfig

    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"bos_token_id": 2, "sep_token_id": 3, "pad_token_id": 0}
    return BlipConfig(
        text_config={**sizes, **special, "vocab_size": vocab_size, "max_position_embeddings": 12},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        image_text_hidden_size=8,
    )


def save_blip(
    folder: Path, *, vocab_size: int = len(WORDS), kind: str = "BlipForImageTextRetrieval"
) -> torch.nn.Module:
    """Save a small BLIP of random weights with its image processor and tokenizer as transformers does; returns it."""
    import transformers

    torch.manual_seed(1)
    network: torch.nn.Module = getattr(transformers, kind)(config(vocab_size)).eval()
    for weights in network.parameters():  # those of a new one are so small that all pictures and texts are alike
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    network.save_pretrained(folder)  # type: ignore[operator]
    transformers.BlipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    transformers.BertTokenizer({word: place for place, word in enumerate(WORDS)}).save_pretrained(folder)
    return network


def test_a_folder_loads_by_its_path_and_in_the_place_of_a_hubs(tmp_path: Path, models_dir: Path) -> None:
    from transformers import BlipImageProcessor

    network = save_blip(tmp_path / "blip")
    by_path = load_reranker(str(tmp_path / "blip"), device="cpu")
    scores = by_path.scores("a red shoe", PICTURES)
    assert scores.shape == (5,) and scores.dtype == np.float32 and len(set(scores.tolist())) == 5
    prepare = BlipImageProcessor(size={"height": 32, "width": 32})
    pixels = prepare([PICTURES[0]], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 32, 32)
    with torch.inference_mode():
        logits = network(input_ids=torch.tensor([[2, 5, 6, 8, 3]]), pixel_values=pixels).itm_score[0]
    assert scores[0] == pytest.approx(float(logits.exp()[1] / logits.exp().sum()), abs=1e-6)
    assert not np.allclose(scores, by_path.scores("a green cat", PICTURES), atol=1e-3)
    (models_dir / "transformers" / "someone").mkdir(parents=True)
    (tmp_path / "blip").rename(models_dir / "transformers" / "someone" / "blip")
    by_name = load_reranker("someone/blip", device="cpu")
    assert by_name.name == "someone/blip" and by_path.name == str(tmp_path / "blip")
    np.testing.assert_array_equal(by_name.scores("a red shoe", PICTURES), scores)


def test_scores_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    save_blip(tmp_path / "blip")
    reranker = load_reranker(str(tmp_path / "blip"), device="cpu")
    images = [picture(seed) for seed in range(BATCH_SIZE + 3)]
    alone = np.concatenate([reranker.scores("a cat", [image]) for image in images])
    np.testing.assert_allclose(reranker.scores("a cat", images), alone, atol=1e-6)
    assert reranker.scores("a cat", []).shape == (0,)


def test_a_long_text_is_cut_to_the_networks_places(tmp_path: Path) -> None:
    save_blip(tmp_path / "blip")
    reranker = load_reranker(str(tmp_path / "blip"), device="cpu")
    assert isinstance(reranker, Blip) and reranker.tokens("red " * 300).tolist() == [[2, *[6] * 10, 3]]
    assert reranker.scores("red " * 300, PICTURES[:1]).shape == (1,)


def test_a_text_for_the_published_table_of_words_begins_with_its_own_token(tmp_path: Path) -> None:
    save_blip(tmp_path / "blip", vocab_size=ENCODE_ID + 1)
    reranker = load_reranker(str(tmp_path / "blip"), device="cpu")
    assert isinstance(reranker, Blip) and reranker.tokens("a cat").tolist() == [[ENCODE_ID, 5, 9, 3]]


def test_weights_of_another_head_are_refused(tmp_path: Path) -> None:
    save_blip(tmp_path / "captioner", kind="BlipForConditionalGeneration")
    with pytest.raises(BadInput, match="has no weights of itm_head") as caught:
        load_reranker(str(tmp_path / "captioner"), device="cpu")
    assert str(tmp_path / "captioner") in str(caught.value) and "\n" not in str(caught.value)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    network = save_blip(tmp_path / "blip")
    (tmp_path / "blip" / "model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "blip" / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"pickled weights are not read\); save the network with safe_serialization\.$"):
        load_reranker(str(tmp_path / "blip"), device="cpu")


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("model.safetensors", b"broken off"),
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "bert"}'),
        ("tokenizer.json", None),
        ("tokenizer.json", b"{"),
        ("preprocessor_config.json", None),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(file: str, data: bytes | None, tmp_path: Path) -> None:
    save_blip(tmp_path / "blip")
    assert (tmp_path / "blip" / file).exists()
    (tmp_path / "blip" / file).unlink()
    if data is not None:
        (tmp_path / "blip" / file).write_bytes(data)
    with pytest.raises(BadInput) as caught:
        load_reranker(str(tmp_path / "blip"), device="cpu")
    assert str(tmp_path / "blip") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "best", "blip-itm-base-coco", "Salesforce/"])
def test_an_unknown_reranker_lists_what_there_is(name: str) -> None:
    with pytest.raises(UnknownName, match=r"Unknown reranker .*Salesforce/blip-itm-base-coco"):
        load_reranker(name, device="cpu")


def test_without_the_hub_the_folder_for_the_weights_is_named(models_dir: Path) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be reached") as caught:
        load_reranker("Salesforce/blip-itm-base-coco", device="cpu")
    assert str(models_dir / "transformers/Salesforce/blip-itm-base-coco") in str(caught.value)
    assert "tokenizer" in str(caught.value) and "\n" not in str(caught.value)


def test_a_path_that_holds_nothing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no config\.json"):
        load_reranker(str(tmp_path / "nothing"), device="cpu")
