"""Word errors against cases counted by hand, and their confidence intervals."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttlab.errors import ConfigError

pytest.importorskip("jiwer", reason="jiwer not installed (`make test` installs it)")
pytest.importorskip("regex", reason="openai-whisper not installed (`make test` installs it)")

from sttlab.evaluate.wer import WordErrors, difference, normaliser, wer


def counted(errors: WordErrors) -> tuple[int, int, int, int]:
    return errors.substitutions, errors.deletions, errors.insertions, errors.words


@pytest.mark.parametrize(
    ("said", "written", "sdin"),
    [
        ("the cat sat", "the cat sat", (0, 0, 0, 3)),
        ("the cat sat", "the hat sat", (1, 0, 0, 3)),
        ("the cat sat down", "the cat down", (0, 1, 0, 4)),
        ("the cat", "the black cat", (0, 0, 1, 2)),
        ("the quick brown fox jumps over", "the quack fox jumps high over", (1, 1, 1, 6)),
        ("the cat", "", (0, 2, 0, 2)),
        ("", "thank you", (0, 0, 2, 0)),
        ("", "", (0, 0, 0, 0)),
        # normalised away: case, punctuation, spelling, contractions, numbers, hesitation
        ("I'll paint it, um, in two colours.", "i will paint it in 2 COLORS", (0, 0, 0, 7)),
    ],
)
def test_substitutions_deletions_and_insertions_are_counted(said, written, sdin):
    errors = wer(said, written)
    assert counted(errors) == sdin
    assert errors.normaliser == "Whisper's English"


def test_wer_without_reference_words_is_zero_or_infinite():
    errors = wer(["red green blue white", "up down", ""], ["red grey white", "up down", ""])
    assert errors.wer == pytest.approx(2 / 6)
    assert errors.by_utterance() == [0.5, 0, 0]
    assert wer("", "").wer == 0
    assert wer("", "thank you").wer == math.inf
    assert wer([], []).wer == 0


def test_str_of_word_errors_has_all_counts():
    errors = wer("Mr. Brown has 2 colours.", "mister brown has two new colors")
    assert str(errors) == "WER 20.0% (S 0, D 0, I 1, N 5; Whisper's English)"


def test_alignment_pairs_words():
    (words,) = wer("the quick brown fox jumps over", "the quack fox jumps high over").utterances
    assert [(w.kind, w.said, w.written) for w in words if w.kind != "equal"] == [
        ("substitute", "quick", "quack"),
        ("delete", "brown", ""),
        ("insert", "", "high"),
    ]
    assert " ".join(w.said for w in words if w.said) == "the quick brown fox jumps over"
    assert " ".join(w.written for w in words if w.written) == "the quack fox jumps high over"


def test_other_languages_use_whispers_basic_normaliser():
    swedish = wer("Två färger!", "två  färger", language="sv")
    assert counted(swedish) == (0, 0, 0, 2)
    assert swedish.normaliser == "Whisper's basic"
    chinese = wer("你好世界", "你好世间", language="zh")
    assert counted(chinese) == (1, 0, 0, 4)
    assert "characters" in chinese.normaliser


texts = st.lists(st.sampled_from("abcde"), max_size=8).map(" ".join)


@given(texts, texts)
def test_word_errors_equal_the_edit_distance(said, written):
    a, b = (normaliser("en")[1](text).split() for text in (said, written))
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        above, row = row, [i]
        for j, other in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != other)))
    errors = wer(said, written)
    assert sum(counted(errors)[:3]) == row[-1]
    assert errors.words == len(a)


def test_interval_is_that_of_independent_texts():
    random = np.random.default_rng(5)
    wrong = random.random(400) < 0.1
    errors = wer(["word"] * 400, ["other" if w else "word" for w in wrong])
    found = errors.interval()
    half = 1.96 * math.sqrt(found.estimate * (1 - found.estimate) / 400)
    assert found.estimate == errors.wer == wrong.mean()
    assert found.low == pytest.approx(found.estimate - half, abs=0.006)
    assert found.high == pytest.approx(found.estimate + half, abs=0.006)
    assert errors.interval() == found


def test_interval_of_one_text_is_nan():
    assert math.isnan(wer("a b", "a").interval().low)
    assert math.isnan(wer(["", ""], ["a", ""]).interval().high)


def test_difference_needs_the_same_references():
    said = [f"red green blue {'white ' * (i % 3)}" for i in range(60)]
    hard = [text if i % 2 else "" for i, text in enumerate(said)]
    harder = [text.replace("blue", "blew") if i % 6 == 1 else text for i, text in enumerate(hard)]
    a, b = wer(said, hard), wer(said, harder)
    found = difference(a, b)
    assert found.estimate == pytest.approx(b.wer - a.wer)
    assert 0 < found.low < found.estimate < found.high
    assert b.interval().low < a.wer  # separate intervals would not show the difference
    same = difference(a, a)
    assert (same.estimate, same.low, same.high) == (0, 0, 0)
    with pytest.raises(ConfigError, match="same references"):
        difference(a, wer(said[1:], hard[1:]))


def test_html_of_word_errors_marks_errors_and_escapes_text():
    page = wer(["a b c", "<b>"], ["a x", "5 < 6"], language="de")._repr_html_()
    assert "b → x" in page
    assert page.count("<del ") == 1
    assert ">c</del>" in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("said", "written", "language", "says"),
    [
        (["a", "b"], ["a"], "en", "2 references need as many hypotheses, not 1"),
        ("a", ["a", "b"], "en", "1 references"),
        (["a"], [None], "en", "must be str, not None"),
        ("a", "a", None, "must be str, not None"),
    ],
)
def test_invalid_texts_are_refused(said, written, language, says):
    with pytest.raises(ConfigError, match=says):
        wer(said, written, language=language)


def test_wer_loads_neither_whisper_nor_torch():
    code = (
        "import sys; from sttlab.evaluate.wer import wer; print(wer('two', '2').wer); "
        "print({'torch', 'whisper', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "0.0\nset()\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file left open
def test_normalisers_are_whispers_own():
    pytest.importorskip("torch", reason="torch not installed (`make test` installs it)")
    whisper = pytest.importorskip("whisper.normalizers", reason="openai-whisper not installed")
    text = "Mr. Brown's colour, twenty-two pounds & um, dunno"
    assert normaliser("en")[1](text) == whisper.EnglishTextNormalizer()(text)
    assert normaliser("fr")[1](text) == whisper.BasicTextNormalizer()(text)
