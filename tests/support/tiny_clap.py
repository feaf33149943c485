"""A CLAP of random weights in Hugging Face's layout, as small as its pictures of 256 x 256 allow."""

from pathlib import Path

from tests.support import published, tiny_tokenizers

AUDIO = {
    "depths": [2, 1, 1, 1],
    "num_attention_heads": [1, 2, 2, 2],
    "patch_embeds_hidden_size": 8,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
}
TEXT = {
    "vocab_size": 500,
    "hidden_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 7,
    "intermediate_size": 37,
    "max_position_embeddings": 60,
}


def save(folder: Path):
    """The folder as it would come from the hub; returns Transformers' model and feature extractor."""
    import transformers

    model = transformers.ClapModel(transformers.ClapConfig(audio_config=AUDIO, text_config=TEXT, projection_dim=24))
    published.randomise(model)
    extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50)
    tiny_tokenizers.save(tiny_tokenizers.byte_level(), published.save(folder, model, extractor))
    return model, extractor
