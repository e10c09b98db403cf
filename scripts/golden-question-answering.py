#!/usr/bin/env python3
"""golden-question-answering.py - write tests/golden/pipelines/qa*/cases-*.json: what the question-answering pipeline of transformers 4.57,
the last that has one, gives for 200 questions with the models that scripts/golden-pipelines.py made.

    python scripts/golden-question-answering.py      (an environment with transformers 4.57 and torch)

SPDX-License-Identifier: Apache-2.0
"""
import json
import random
import warnings
from pathlib import Path

import tokenizers
import torch
import transformers

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
SEED = 20241124
VERSIONS = {"torch": torch.__version__, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
            "written_by": "scripts/golden-question-answering.py", "seed": SEED}
OPTIONS = [  # of 200 questions, then of 50 each
    {"doc_stride": 6},
    {"top_k": 2},
    {"top_k": 4, "max_answer_len": 5},
    {"top_k": 3, "handle_impossible_answer": True, "align_to_words": False},
    {"max_seq_len": 40, "doc_stride": 7, "top_k": 2},
]
warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()


def make_questions():
    """Questions of one to three words of one text, contexts of one to six texts; tabs and line ends would part them."""
    texts = [" ".join(s.split()) for group in json.loads((GOLDEN / "sentences.json").read_text(encoding="utf-8")).values() for s in group]
    texts = [t for t in texts if t]
    rng = random.Random(SEED)
    made = []
    for _ in range(200):
        words = rng.choice(texts).split(" ")
        question = " ".join(words[: rng.randint(1, 3)])[:12] or "who?"
        made.append((question, " ".join(rng.sample(texts, rng.choice([1, 1, 2, 6])))))
    return made + [("Where does Wolfgang live?", "Wolfgang lives in Berlin."), ("?", "😀😀😀 👩‍👩‍👧‍👦 😀"), ("מי?", "שלום עולם, مرحبا بالعالم"),
                   ("what", "a" * 400), ("word", "word " * 90), ("who", "one"), ("BERLIN", "berlin Berlin BERLIN bErLiN, Berlin."),
                   ("é", "e\u0301té naïve café ÉTÉ été"), ("1", "1,234.56 (7%) - x_y#z"), ("don't?", "don't can't won't")]


def answers(pipe, question, context, options):
    found = pipe(question=question, context=context, **options)
    found = found if isinstance(found, list) else [found]
    return [a for a in found if a["score"] > 0]  # spans of no probability are in no order


def main():
    torch.set_num_threads(1)
    questions = make_questions()
    for name in ("qa", "qa-roberta"):
        folder = GOLDEN / "pipelines" / name
        config = json.loads((folder / "tokenizer_config.json").read_text())
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), model_max_length=config["model_max_length"],
            model_input_names=config["model_input_names"],
            **{k: config[k] for k in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")})
        model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder)
        pipe = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
        for i, options in enumerate(OPTIONS):
            some = questions if i == 0 else questions[i::5] + questions[-10:]
            cases = []
            for question, context in some:
                try:
                    cases.append({"text": f"{question}\t{context}", "result": answers(pipe, question, context, options)})
                except BaseException as error:  # a panic: the question leaves less room than doc_stride
                    assert "stride" in str(error), error
            lines = ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases)
            (folder / f"cases-qa-{i}.json").write_text(
                f'{{"task": "qa", "options": {json.dumps(options)}, "versions": {json.dumps(VERSIONS)},\n"cases": [\n{lines}\n]}}\n',
                encoding="utf-8")
            print(f"{name}: {options}: {len(cases)} questions")


main()
