"""Small tokenizers of the kinds that multilingual encoders have, learned from a few lines and not downloaded."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LINES = [
    "Don't stop me now, I'm having such a good time",
    "Quiero que me quieras, corazón mío, toda la noche",
    "愛してる 愛してる 我爱你 你爱我",
    "Я люблю тебя, Привет привет",
    "Über straße und Brücke, schön schön",
    "love love love is all you need 🎵 🎵",
]


def byte_level(trim: bool = True) -> tokenizers.Tokenizer:
    """RoBERTa's kind: pairs of bytes, a space is the Ġ before its word."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim, add_prefix_space=False
    )
    return tokenizer


def sentencepiece() -> tokenizers.Tokenizer:
    """XLM-R's kind: the likeliest pieces, a space is the ▁ before its word."""
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>")
    tokenizer.train_from_iterator(LINES * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def large(size: int) -> tokenizers.Tokenizer:
    """A whole word for each of so many numbers: a vocabulary as large as a multilingual encoder's."""
    words = {name: i for i, name in enumerate(SPECIAL)} | {f"w{i}": i for i in range(len(SPECIAL), size)}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def save(tokenizer: tokenizers.Tokenizer, folder: Path) -> Path:
    """``tokenizer.json`` in a folder, which is given back."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
