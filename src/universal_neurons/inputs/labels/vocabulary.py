"""Labels of the spelling of a token: unigrams and predicates.

Most predicates are from Gurnee et al. 2024 (section 4.3; ``analysis/vocab_df.py`` of their code), written anew from
their definitions; some of source code are ours.  A spelling is the decoded token; *word* is it without blanks around.

Deviation: ``integral_value`` is left out, because it is a number; ``small_norm``, because it is about a model's
weights; ``all_digits``, because it is ``all_numeric`` or ``all_white_space``.  A unigram needs no three spellings,
which hardly any word of a small vocabulary has; a token of blanks alone is a unigram of its own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from universal_neurons.inputs.labels.source import LabelColumn, LabelSource, Of, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from universal_neurons.inputs.labels.source import LabelledText

    Predicate = Callable[[str], bool]

_VOWELS = tuple("aeiou")
_CONTAINS = {
    "period": ".", "comma": ",", "exclamation": "!", "question": "?", "semicolon": ";", "colon": ":", "dash": "-",
    "slash": "/", "backslash": "\\", "underscore": "_", "caret": "^", "apostrophe": "'", "quotation": '"',
    "close_paren": ")", "open_paren": "(", "close_bracket": "]", "open_bracket": "[", "close_brace": "}",
    "open_brace": "{", "dollar": "$", "double_dollar": "$$",
}  # fmt: skip
_CONTAINS_ONE = {
    "closing_punctuation": ")]}>",
    "opening_punctuation": "([{<",
    "math_symbol": "+-*/=<>",
    "currency": "$€£¥",
}
_SUFFIXES = listed(
    "ness ment tion sion ance ence er or ist ism hood ship age able ible al ial ish ive less ful ous ic "
    "ly ward wise ize ise en ify let ling ie ette dom logy graphy phobia y cy ty ant ent ary ery ing ed s "
    "est"
)
_PREFIXES = listed(
    "un re in im dis en em non over mis sub pre inter fore de trans super semi anti mid under mono bi tri "
    "multi poly ex micro macro auto tele homo hetero post geo aero hydro thermo electro photo pan mega "
    "kilo pseudo neo counter ultra infra circum peri hemi ped pod bio"
) + tuple("abcdefghijklmnopqrstuvwxyz")
_FIRST, _SECOND = "i me my mine myself we us our ours ourselves", "you your yours yourself yourselves"
_MALE, _FEMALE = "he him his himself", "she her hers herself"
_NEUTRAL = "they them their theirs themself themselves"
_REFLEXIVE = "myself ourselves yourself yourselves himself herself themselves"
_PRONOUNS = {
    "male": _MALE,
    "female": _FEMALE,
    "neutral": _NEUTRAL,
    "first_person": _FIRST,
    "second_person": _SECOND,
    "third_person": f"{_MALE} {_FEMALE} {_NEUTRAL}",
    "plural": f"we us our ours ourselves {_NEUTRAL}",
    "singular": f"i me my mine myself you your yours yourself {_MALE} {_FEMALE}",
    "subject": "i we you he she it they",
    "object": "me us you him her it them",
    "possessive": "my mine our ours your yours his her hers its their theirs",
    "reflexive": f"{_REFLEXIVE} itself",
    "personal": f"{_FIRST} {_SECOND} {_MALE} {_FEMALE} {_NEUTRAL}",
    "indefinite": (
        "anybody anyone anything each either everybody everyone everything neither nobody nothing one somebody someone "
        "something both few many several all any most none some such"
    ),
    "demonstrative": "this that these those",
    "interrogative": "who whom whose which what",
    "relative": "who whom whose which that",
    "intensive": f"{_REFLEXIVE} itself",
    "nonreflexive": "i me we us you he him she her it they them",
}
_GROUPS = {
    "month": (
        "january february march april may june july august september october november december "
        "jan feb mar apr jun jul aug sept oct nov dec"
    ),
    "day_of_week": (
        "monday tuesday wednesday thursday friday saturday sunday mon tues wed thurs fri sat sun"
    ),
    "state": (
        "alabama alaska arizona arkansas california colorado connecticut delaware florida georgia hawaii idaho "
        "illinois indiana iowa kansas kentucky louisiana maine maryland massachusetts michigan minnesota mississippi "
        "missouri montana nebraska nevada hampshire jersey mexico york carolina dakota ohio oklahoma oregon "
        "pennsylvania rhode tennessee texas utah vermont virginia washington wisconsin wyoming"
    ),
    "contrastive_conjunction": "but however nonetheless yet nevertheless although",
    "number_word": (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million "
        "billion trillion quadrillion quintillion sextillion hundreds thousands millions billions trillions "
        "dozen dozens"
    ),
}  # fmt: skip
_STATE_ABBREVIATIONS = frozenset(
    listed(
        "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY "
        "NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
    )
)
_WEBSITES = frozenset(listed("com net org edu gov mil int io co uk ca ai"))
_LENGTHS = listed("meter metre inch foot feet yard mile")
_TIMES = listed("second minute hour day week month year")
_OPERATORS = frozenset("+-*/%=<>!&|^~@")
_YEARS = range(1491, 2200)


def word(token: str) -> str:
    """The token without blanks around it."""
    return token.strip()


def _number(token: str) -> int | None:
    return int(word(token)) if word(token).isdecimal() else None


def _first(token: str, test: Predicate) -> bool:
    return bool(word(token)) and test(token[0])


def _is_in(words: frozenset[str], token: str) -> bool:
    return word(token).lower() in words


def _digits(count: int, token: str) -> bool:
    return _number(token) is not None and len(word(token)) == count


def _starts_with(start: str | tuple[str, ...], token: str) -> bool:
    return word(token).lower().startswith(start)


def _ends_with(end: str, token: str) -> bool:
    return word(token).lower().endswith(end)


def _has_any(parts: Iterable[str], token: str) -> bool:
    return any(part in token for part in parts)


def _mentions(parts: Iterable[str], token: str) -> bool:
    return _has_any(parts, word(token).lower())


PUBLISHED: dict[str, Predicate] = {
    "all_white_space": lambda token: not word(token),
    "all_caps": lambda token: word(token).isupper() and len(word(token)) > 1,
    "all_lower": lambda token: word(token).islower(),
    "all_alpha": lambda token: word(token).isalpha(),
    "all_numeric": lambda token: word(token).isdecimal(),
    "any_symbolic": lambda token: any(not character.isalnum() for character in word(token)),
    **{f"contains_{name}": partial(_has_any, [part]) for name, part in _CONTAINS.items()},
    **{f"contains_{name}": partial(_has_any, tuple(parts)) for name, parts in _CONTAINS_ONE.items()},
    "contains_digit": lambda token: any(character.isdigit() for character in token),
    "is_year": lambda token: _number(token) in _YEARS,
    "is_one_digit": partial(_digits, 1),
    "is_two_digit": partial(_digits, 2),
    "is_three_digit": partial(_digits, 3),
    "is_four_digit": partial(_digits, 4),
    "is_at_most_31": lambda token: (_number(token) or 0) <= 31 and _number(token) is not None,
    **{f"is_{name}_pronoun": partial(_is_in, frozenset(words.split())) for name, words in _PRONOUNS.items()},
    "starts_with_vowel": partial(_starts_with, _VOWELS),
    "starts_with_consonant": lambda token: word(token).isalpha() and not _starts_with(_VOWELS, token),
    "starts_without_space": lambda token: bool(token) and token[0] != " ",
    "starts_without_space_with_letter": lambda token: bool(token) and token[0].isalpha(),
    "starts_without_space_with_digit": lambda token: bool(token) and token[0].isdigit(),
    "starts_with_space": lambda token: _first(token, lambda character: character == " "),
    "starts_with_space_and_letter": lambda token: len(token) > 1 and token[0] == " " and token[1].isalpha(),
    "starts_with_capital": lambda token: bool(word(token)) and word(token)[0].isupper(),
    "starts_without_space_with_capital": lambda token: _first(token, str.isupper),
    "starts_without_space_with_lower": lambda token: _first(token, str.islower),
    **{f"ends_with_{suffix}": partial(_ends_with, suffix) for suffix in _SUFFIXES},
    **{f"starts_with_{prefix}": partial(_starts_with, prefix) for prefix in _PREFIXES},
    **{f"is_{name}": partial(_is_in, frozenset(words.split())) for name, words in _GROUPS.items()},
    "is_state_abbreviation": lambda token: word(token) in _STATE_ABBREVIATIONS,
    "is_website_suffix": lambda token: token in _WEBSITES,
    "is_length": partial(_mentions, _LENGTHS),
    "is_time": partial(_mentions, _TIMES),
}
CODE: dict[str, Predicate] = {
    "contains_newline": lambda token: "\n" in token,
    "is_indentation": lambda token: not word(token) and "    " in token,
    "ends_with_colon": partial(_ends_with, ":"),
    "ends_with_open_paren": partial(_ends_with, "("),
    "ends_with_comma": partial(_ends_with, ","),
    "is_operator": lambda token: bool(word(token)) and set(word(token)) <= _OPERATORS,
    "is_brackets": lambda token: bool(word(token)) and set(word(token)) <= set("()[]{}"),
    "is_dunder": lambda token: word(token).startswith("__"),
    "starts_with_underscore": partial(_starts_with, "_"),
    "contains_hash": lambda token: "#" in token,
    "contains_triple_quotation": partial(_has_any, ('"""', "'''")),
    "is_camel": lambda token: word(token)[:1].isupper() and word(token)[1:].islower(),
}


def vocabulary_columns(text: LabelledText) -> Iterator[LabelColumn]:
    """Unigrams, the lower-cased words that tokens spell, then predicates that some spellings have and others not."""
    spelling = text.spelling
    groups: dict[str, list[int]] = {}
    for token, spelled in enumerate(spelling):
        # Part of a character decodes to this mark, which is the same for all of them.
        if spelled and "\ufffd" not in spelled:
            groups.setdefault(word(spelled).lower() or spelled, []).append(token)
    for name, tokens in groups.items():
        yield LabelColumn(name, "unigram", Of.TOKEN, np.isin(np.arange(len(spelling)), tokens))
    for name, predicate in (PUBLISHED | CODE).items():
        flags = np.array([bool(spelled) and predicate(spelled) for spelled in spelling])
        if flags.any() and not flags.all():
            yield LabelColumn(name, "predicate", Of.TOKEN, flags)


VOCABULARY = LabelSource("vocabulary", ("unigram", "predicate"), vocabulary_columns)
