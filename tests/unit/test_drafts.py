"""Text that grows: what two hypotheses agree on stays."""

from sttlab.live.drafts import ENGINE_SHARE, SHORTEST_PAUSE_S, Drafts


def grow(*texts):
    drafts = Drafts()
    return [(p.text, p.stable) if (p := drafts.add(0, text, 0.1)) else None for text in texts]


def test_words_that_two_hypotheses_begin_with_are_stable():
    assert grow("he was", "he was not", "he was not an", "He was not an ill") == [
        ("he was", ""),
        ("he was not", "he was"),
        ("he was not an", "he was not"),
        ("he was not an ill", "he was not"),
    ]


def test_stable_words_stay_whatever_comes():
    shown = grow("a b c", "a b c", "x y z w", "x y z w v", "")
    assert shown[1] == ("a b c", "a b c")
    assert shown[2] == ("a b c w", "a b c")
    assert shown[3] == ("a b c w v", "a b c")
    assert shown[4] is None


def test_each_utterance_begins_anew():
    drafts = Drafts()
    drafts.add(0, "one two", 0.1)
    drafts.add(0, "one two", 0.1)
    draft = drafts.add(1, "one three", 0.1)
    assert draft is not None
    assert draft.stable == ""


def test_drafts_take_their_share_of_the_engine_and_no_more():
    drafts = Drafts()
    assert drafts.due(0.0)
    drafts.asked(0.0)
    assert not drafts.due(SHORTEST_PAUSE_S - 0.01)
    assert drafts.due(SHORTEST_PAUSE_S)
    drafts.add(0, "word", 2.0)
    drafts.asked(10.0)
    assert not drafts.due(10.0 + 2.0 / ENGINE_SHARE - 0.01)
    assert drafts.due(10.0 + 2.0 / ENGINE_SHARE)
