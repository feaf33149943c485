"""Lyrics of the generated corpus: original lines by topic, shared filler, and short songs in two other languages."""

from __future__ import annotations

import numpy as np

TOPICS: dict[str, tuple[str, ...]] = {
    "love": (
        "I kept your {thing} and I kept your smile",
        "hold me closer, stay with me a while",
        "my heart beats louder when you say my name",
        "since you kissed me nothing is the same",
        "darling, you and I in {place}",
        "I love you more than words can trace",
    ),
    "night": (
        "lights are turning, move your feet",
        "everybody in {place} feel the beat",
        "dance until the morning, dance until the sun",
        "the floor is ours and the night has just begun",
        "hands up high, let the music play",
        "turn it up and take me away",
    ),
    "sorrow": (
        "you left your {thing} on my bedroom floor",
        "I cry in {place}, you don't call anymore",
        "my heart is broken and it's all your fault",
        "every goodbye is a wound full of salt",
        "I wrote you letters that I never sent",
        "tell me what the promises meant",
    ),
    "street": (
        "on my block in {place} the sirens never sleep",
        "brothers on the corner, promises to keep",
        "mama worked two jobs to pay the rent",
        "I count the names of the friends who went",
        "concrete raised me, the city taught me how",
        "look where we came from, look at us now",
    ),
    "boast": (
        "I got the flow, I got the crown, I run this town",
        "money on the table, never putting it down",
        "gold on my {thing}, diamonds on my wrist",
        "check the mic, your name is not on the list",
        "they hate on my rhymes but they copy my style",
        "I been on top of this game for a while",
    ),
    "rebellion": (
        "we don't want your rules, we don't want your war",
        "kick down the door, we can't take it any more",
        "the system is a lie, the bosses are fake",
        "smash up {place}, there's a riot to make",
        "no gods, no masters, no future for sale",
        "we would rather burn than go to your jail",
    ),
    "road": (
        "the engine is roaring, the highway is mine",
        "wheels on fire, crossing the line",
        "I got a {thing} and a full tank of gas",
        "driving through {place}, driving too fast",
        "born to be running, too wild to stay",
        "leather and thunder, get out of my way",
    ),
    "darkness": (
        "the shadow king rises on a throne of steel",
        "ancient demons teach the world to kneel",
        "through the gates of {place} the ravens fly",
        "swords are drawn under a blackened sky",
        "in eternal darkness the warriors march",
        "the storm of ages breaks the iron arch",
    ),
    "gore": (
        "rotting flesh and shattered bone",
        "the corpse is screaming on the slab of stone",
        "worms devour the skull, the blood runs cold",
        "buried alive in the stinking mould",
        "a butcher's {thing} carves through the skin",
        "entrails spill, let the slaughter begin",
    ),
    "faith": (
        "praise the Lord, lift your hands up high",
        "Jesus, my saviour, hear my cry",
        "hallelujah, his mercy is near",
        "in the house of God there is nothing to fear",
        "the river of Jordan will wash me clean",
        "holy spirit, the greatest I've seen",
    ),
    "winter": (
        "snow on the rooftops and bells in the air",
        "Christmas is coming, there's joy everywhere",
        "hang up the stockings, light up the tree",
        "Santa has a {thing} for you and for me",
        "jingle the sleigh bells, sing carols tonight",
        "December in {place}, all silver and white",
    ),
    "country": (
        "my truck is rusty and the dirt road is long",
        "grandpa on the porch with a whiskey and a song",
        "back on the farm where the tall corn grows",
        "boots in the mud, as every cowboy knows",
        "an old hound dog and a field of hay",
        "small town Sunday, down {place} way",
    ),
    "diary": (
        "I'm thirty now, I drink my coffee alone",
        "I wrote this on a napkin, I don't answer the phone",
        "my mother's kitchen and the clock on the wall",
        "I am learning to be honest, I am learning to be small",
        "I read my old journals in the bath at noon",
        "the therapist told me I'd be better soon",
    ),
    "nature": (
        "the river runs silver by the old oak tree",
        "the miller's fair daughter is calling to me",
        "over the hills where the heather grows wild",
        "the wind in the barley, the moon and the child",
        "the sailor has left from the harbour of {place}",
        "the lark in the morning, the frost on my face",
    ),
    "blues": (
        "I woke up this morning, trouble at my door",
        "my baby took my {thing}, don't want me no more",
        "that train to {place} is long and slow",
        "I've got no money and nowhere to go",
        "whiskey in the evening, rain all night",
        "Lord, I've been down and nothing goes right",
    ),
    "unity": (
        "one people, one heart, let the good sun shine",
        "peace in the valley, your brother is mine",
        "Babylon falls and the children sing",
        "give thanks and praises for the life they bring",
        "roots in the island, rise up and be free",
        "love and justice from {place} to the sea",
    ),
    "desire": (
        "come through late, baby, turn down the light",
        "silk on your shoulders, stay over tonight",
        "your perfume lingers on my {thing}, girl",
        "slow and easy, you're my whole world",
        "body to body, you know what I need",
        "take your time, baby, let me take the lead",
    ),
    "indie": (
        "we were sixteen in a borrowed car",
        "plastic flowers and a cheap guitar",
        "the satellites hum over {place} again",
        "polaroids fading of you and your friends",
        "I wear your {thing} like a paper crown",
        "the summer we painted the ceiling brown",
    ),
    "smoke": (
        "a saxophone sighs in the midnight bar",
        "the moon over {place} is a lonely star",
        "pour me a glass, let the piano swing",
        "autumn in the city makes the trumpet sing",
        "you wore a {thing} and a crooked hat",
        "we danced so slow and we left it at that",
    ),
}
"""Six lines each. Words cross topics on purpose (whiskey, Lord, moon, praises): no single word is a genre."""

FILLER = (
    "oh, oh, oh",
    "yeah, yeah, yeah",
    "na na na, na na na",
    "one more time",
    "I don't know what to say",
    "it's a long way to {place}",
    "time goes by and I wonder why",
    "can you hear me now?",
    "all the days and all the nights",
    "tell me, tell me, what you see",
    "I remember {place} and your {thing}",
    "we are moving, we are standing still",
    "nothing ever stays the way it was",
    "and I'm waiting, still I'm waiting",
    "here we go again",
    "somebody told me yesterday",
    "round and round and round it goes",
    "look at me, I'm only {thing} and skin",
    "maybe tomorrow, maybe never",
    "the sky is open over {place}",
)
OTHER_LANGUAGES: dict[str, tuple[str, ...]] = {
    "pt": (
        "não sei por que você se foi",
        "a noite cai sobre {place}",
        "meu coração não quer dormir",
        "dança comigo até o sol nascer",
        "eu guardei a tua canção",
        "saudade é o nome da minha rua",
        "vem ver o mar, vem ver o céu",
        "a vida passa e eu fico aqui",
        "ninguém me disse como voltar",
        "canta, meu bem, canta outra vez",
    ),
    "es": (
        "no sé por qué te fuiste ayer",
        "la noche cae sobre {place}",
        "mi corazón no quiere dormir",
        "baila conmigo hasta el amanecer",
        "guardé tu canción en un cajón",
        "la calle lleva tu nombre, mi amor",
        "ven a ver el mar, ven a ver el sol",
        "la vida pasa y yo sigo aquí",
        "nadie me dijo cómo volver",
        "canta otra vez, corazón, canta otra vez",
    ),
}
PLACES = (
    *("Lisbon", "Memphis", "the harbour", "Dublin", "the valley", "Berlin", "Havana", "the old town", "Oslo"),
    *("Kingston", "the seaside", "Chicago", "Nairobi", "the station", "Glasgow", "the hills", "Osaka", "Tulsa"),
)
THINGS = (
    *("coat", "ring", "letter", "mirror", "candle", "photograph", "jacket", "radio", "suitcase", "window"),
    *("guitar", "knife", "pillow", "necklace", "shadow", "ticket", "umbrella", "telephone", "bottle", "shoes"),
)


def write_lyrics(topics: tuple[str, ...], language: str, quirk: np.random.Generator, rng: np.random.Generator) -> str:
    """Lyrics of 12 to 30 lines in verses and a chorus; nearly half the lines are on ``topics``, the rest filler.

    ``quirk`` draws the artist's favourite words and pet lines, so it must be seeded alike for all of an artist's
    tracks; ``rng`` draws the rest.
    """
    places, things = quirk.choice(PLACES, 3, replace=False), quirk.choice(THINGS, 3, replace=False)
    pet_lines = quirk.choice(FILLER, 4, replace=False)

    def line() -> str:
        if language in OTHER_LANGUAGES:
            text = str(rng.choice(OTHER_LANGUAGES[language]))
        elif topics and rng.random() < 0.45:
            text = str(rng.choice(TOPICS[str(rng.choice(topics))]))
        else:
            text = str(rng.choice(pet_lines if rng.random() < 0.4 else FILLER))
        return text.format(place=rng.choice(places), thing=rng.choice(things))

    chorus = [line() for _ in range(int(rng.integers(3, 6)))]
    verses = [[line() for _ in range(int(rng.integers(4, 7)))] for _ in range(int(rng.integers(2, 4)))]
    blocks = [block for verse in verses for block in (verse, chorus)]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"
