"""Writes the two small data sets of our own that run.py evaluates: choices.jsonl and short_answers.jsonl."""

import json
import random
from pathlib import Path

CAPITALS = dict(
    France="Paris", Germany="Berlin", Italy="Rome", Spain="Madrid", Portugal="Lisbon", Greece="Athens", Austria="Vienna",
    Poland="Warsaw", Hungary="Budapest", Norway="Oslo", Sweden="Stockholm", Finland="Helsinki", Denmark="Copenhagen",
    Ireland="Dublin", Russia="Moscow", Turkey="Ankara", Egypt="Cairo", Kenya="Nairobi", Ethiopia="Addis Ababa",
    Nigeria="Abuja", Japan="Tokyo", China="Beijing", India="New Delhi", Thailand="Bangkok", Vietnam="Hanoi", Iran="Tehran",
    Iraq="Baghdad", Cuba="Havana", Mexico="Mexico City", Canada="Ottawa", Peru="Lima", Chile="Santiago",
    Argentina="Buenos Aires", Colombia="Bogotá", Australia="Canberra", Indonesia="Jakarta", Philippines="Manila",
    Nepal="Kathmandu", Morocco="Rabat", Ukraine="Kyiv",
)
OPPOSITES = dict(
    hot="cold", big="small", up="down", left="right", early="late", light="dark", rich="poor", fast="slow", hard="soft",
    young="old", open="closed", full="empty", wet="dry", strong="weak", near="far", high="low", clean="dirty", loud="quiet",
    happy="sad", thick="thin", wide="narrow", deep="shallow", true="false", alive="dead", cheap="expensive", day="night",
    north="south", begin="end", love="hate", win="lose",
)


def choice(question, answer, others, draw):
    choices = [answer, *draw.sample([other for other in others if other != answer], 3)]
    draw.shuffle(choices)
    return dict(question=question, choices=choices, answer=choices.index(answer))


def main():
    draw, here = random.Random(14), Path(__file__).parent
    choices = [choice(f"The capital of {c} is", a, list(CAPITALS.values()), draw) for c, a in CAPITALS.items()]
    choices += [choice(f"The opposite of {w} is", a, list(OPPOSITES.values()), draw) for w, a in OPPOSITES.items()]
    for _ in range(30):
        a, b = draw.randint(1, 9), draw.randint(1, 9)
        choices.append(choice(f"{a} plus {b} is", str(a + b), [str(n) for n in range(2, 19)], draw))
    short = [dict(question=f"What is the capital of {c}?", answer=a) for c, a in CAPITALS.items()]
    short += [dict(question=f"What is the opposite of {w}? 答案在哪里", answer=a) for w, a in list(OPPOSITES.items())[:10]]
    for name, rows in [("choices.jsonl", choices), ("short_answers.jsonl", short)]:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (here / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
