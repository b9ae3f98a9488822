"""A command that is given nonsense: done, or refused as the documentation says, and nothing was changed."""

from desk import Desk

# doc/exit-codes.md, without 1: that one is for what nobody has thought of.
DOCUMENTED = frozenset([0, 2, 3, 4, 5, 6, 7, 8, 9])


def refused_or_done(desk: Desk, *words: str) -> int:
    """The exit code of a command, which may refuse in one sentence, and changes nothing in the cloud."""
    ended = desk.stackmend(*words)
    assert ended.code in DOCUMENTED, ended
    assert "Traceback" not in ended.err
    if ended.code:
        sentences = [line for line in ended.err.splitlines() if line.strip()]
        assert (ended.out, len(sentences)) == ("", 1), ended
        assert sentences[0].startswith("stackmend: "), ended
    assert desk.touched() == []
    return ended.code
