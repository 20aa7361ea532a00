"""What the service says, as its OpenAPI describes it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from triptych.catalog.conditions import LONGEST
from triptych.retrieval.options import SearchOptions
from triptych.retrieval.query import MOST_PICTURES, MOST_TEXTS


def _without_default(schema: JsonDict) -> None:
    schema.pop("default", None)


class Problem(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["the picture cannot be used: empty: zero bytes"])


class Picture(BaseModel):
    """A picture of the catalog."""

    id: str = Field(examples=["3f1c0a5be2d94c77a810"])
    name: str = Field(examples=["jackets/1042.jpg"])
    metadata: dict[str, Any] = Field(examples=[{"colour": "red", "price": 49.9}])


class Hit(Picture):
    """A result; scores compare within one search only."""

    rank: int = Field(examples=[1])
    score: float = Field(examples=[0.8123])
    folded: list[str] = Field([], description="Ids of its near-duplicates, where `unique` folds them.")


_Name = Annotated[str, Field(max_length=500)]
_Column = Annotated[str, Field(max_length=500)]


class Search(BaseModel):
    """A question, beside the picture that may come with it."""

    model_config = ConfigDict(extra="forbid")

    like: list[_Name] = Field(
        [],
        max_length=MOST_PICTURES,
        description="Instead of a picture or beside it: references by id, or by name in the catalog; `id:0.5` counts "
        "half.",
        examples=[["3f1c0a5be2d94c77a810"]],
    )
    unlike: list[_Name] = Field(
        [], max_length=MOST_PICTURES, description="Pictures that results should be unlike, as in `like`."
    )
    text: list[Annotated[str, Field(max_length=1000)]] = Field(
        [],
        max_length=MOST_TEXTS,
        description="What should differ; several texts may have weights, `red:0.5`.",
        examples=[["but in red"]],
    )
    unwanted: list[Annotated[str, Field(max_length=200)]] = Field(
        [],
        alias="not",
        max_length=MOST_TEXTS,
        description="What results should not show.",
        examples=[["stripes"]],
    )
    box: str = Field(
        "",
        max_length=100,
        description="The part of the picture that is meant: x,y,width,height as shares of it (0 to 1) or in pixels.",
        examples=["0.1,0.2,0.5,0.6"],
    )
    weight: Annotated[float, Field(ge=0, le=1)] | SkipJsonSchema[None] = Field(
        None,
        description="Of the words, with a picture and without a composer; else that of `GET /v1/catalog`.",
        json_schema_extra=_without_default,
    )
    where: list[Annotated[str, Field(max_length=LONGEST)]] = Field(
        [],
        max_length=20,
        description="Conditions over metadata, all of which must hold; `and`, `or`, `in (…)`, `not in (…)` and "
        "brackets join more in one.",
        examples=[["price<=50", "colour in (red, pink) or brand=Acme"]],
    )
    boost: list[Annotated[str, Field(max_length=LONGEST)]] = Field(
        [],
        max_length=10,
        description="Lift pictures by metadata: `COLUMN=FACTOR` or `CONDITION=FACTOR`; 1 changes nothing, 2 lifts by "
        "one standard deviation of the scores.",
        examples=[["in_stock=1.2"]],
    )
    sort: list[Annotated[str, Field(max_length=200)]] = Field(
        [],
        max_length=5,
        description="Sort the nearest by a column: `price` or `price:desc`.",
        examples=[["price"]],
    )
    among: int = Field(
        200, ge=1, le=2000, description="How many of the nearest `boost` and `sort` order; none come after them."
    )
    unique: bool = Field(False, description="Fold near-duplicates into the best of them.")
    after: str = Field(
        "",
        max_length=500,
        description="Go on after this result, by id, whatever was added or removed since; where it is none any more, "
        "`offset` counts.",
    )
    url: str = Field(
        "",
        max_length=2000,
        description="Instead of a picture: where one lies, on a host that `--fetch-from` names.",
        examples=["https://shop.example/jacket.jpg"],
    )
    k: int = Field(24, ge=1, le=200, description="How many results.")
    offset: int = Field(0, ge=0, le=10_000, description="Leave out the first so many.")
    rerank: bool = Field(True, description="Let the chat model judge the first results, where there is one.")

    def options(self, k: int) -> SearchOptions:
        """What is asked for beside a picture and words, for `k` results."""
        return SearchOptions(
            like=tuple(self.like),
            unlike=tuple(self.unlike),
            unwanted=tuple(self.unwanted),
            box=self.box or None,
            weight=self.weight,
            where=tuple(self.where),
            boost=tuple(self.boost),
            sort=tuple(self.sort),
            among=self.among,
            unique=self.unique,
            k=k,
            offset=self.offset,
            after=self.after or None,
        )

    @property
    def may_be_reranked(self) -> bool:
        """Whether a chat model may judge the first results: they are those of one reference, in no other order."""
        return self.rerank and not (self.offset or self.after or self.sort or len(self.like) > 1)


class SearchOfJson(Search):
    """A question as JSON; lists are lists."""

    picture: str = Field("", description="A picture as base64, perhaps as a data URL.", examples=[""])


class Searches(BaseModel):
    """Several questions, each for itself."""

    model_config = ConfigDict(extra="forbid")

    searches: list[SearchOfJson] = Field(min_length=1, max_length=32)


class Answers(BaseModel):
    """Their answers, in the same order; to one that cannot be answered the problem that it has."""

    answers: "list[Answer | Problem]"


class Changes(BaseModel):
    """What is now known of a picture."""

    model_config = ConfigDict(extra="forbid")

    metadata: dict[_Column, str | int | float | bool | None] = Field(
        max_length=200,
        description="By the catalog's columns; null for what is not known any more. Others stay as they are.",
        examples=[{"price": 49.9, "in_stock": True}],
    )


class Feedback(BaseModel):
    """What somebody found of results."""

    model_config = ConfigDict(extra="forbid")

    reference: str = Field(max_length=500, description="The picture that was searched with, by id: one of the catalog.")
    text: str = Field(min_length=1, max_length=1000, description="The words.", examples=["in red"])
    results: list[_Name] = Field(min_length=1, max_length=50, description="The pictures that are judged, by id.")
    verdict: Literal["good", "bad", "chosen"] = Field(
        description="That they answer, that they do not, or that somebody chose them."
    )


class Kept(BaseModel):
    """That it is on disk."""

    kept: int = Field(description="How many results were judged.", examples=[1])


class BlindQuery(BaseModel):
    """A query of the owner's, with a picture of the catalog and words."""

    model_config = ConfigDict(extra="forbid")

    like: str = Field(min_length=1, max_length=500, description="The picture, by id.")
    text: str = Field(min_length=1, max_length=1000, description="What should differ.", examples=["in red"])


class BlindQuestion(BaseModel):
    """The results of two methods, unnamed."""

    question: str = Field(description="What a choice names.")
    left: list[Picture]
    right: list[Picture]


class BlindChoice(BaseModel):
    """Which side answers better."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(max_length=100)
    choice: Literal["left", "right", "tie"]


class BlindTally(BaseModel):
    """How often each method was chosen, and what that tells."""

    composer: int
    sum: int = Field(description="Of the weighted sum, which needs no training.")
    ties: int
    share: float = Field(description="Of the choices for one of them, those for the composer.")
    interval: list[float] = Field(description="The 95 % interval of the share.")
    p: float = Field(description="How probable so uneven a tally is where neither is better.")
    decision: Literal["composer", "sum", "undecided"]
    enough: int = Field(description="How many choices tell a large difference.")


class NewUpload(BaseModel):
    """What of a picture is meant."""

    model_config = ConfigDict(extra="forbid")

    box: str = Field("", max_length=100, description="As in a search: x,y,width,height.", examples=["0.1,0.2,0.5,0.6"])


class Upload(BaseModel):
    """A picture that was sent."""

    id: str = Field(description="What `like` takes, for an hour.", examples=["u5f2b8c1d0e9f4a3b7c6d5e4f"])


class NewPicture(BaseModel):
    """What is known of a picture that is added."""

    model_config = ConfigDict(extra="forbid")

    metadata: str = Field(
        "{}", max_length=20_000, description="A JSON object of the catalog's columns.", examples=["{}"]
    )


class Answer(BaseModel):
    """The results of a search."""

    reference: str | None = Field(examples=["u5f2b…"], description="Id of the reference, to go on with as `like`.")
    hits: list[Hit]
    more: bool = Field(description="Whether there are results after these.")
    reranked: bool = Field(description="Whether a chat model judged the first of them; scores are as they were.")
    not_understood: list[str] = Field(
        description="Words of `text` of which the encoder knows no piece, or next to none.", examples=[["rot"]]
    )
    notes: list[str] = Field(
        description="What a person should know of how `text` was read: what it excludes, words that are not "
        "understood, and whether it was longer than the encoder reads at once."
    )
    degraded: str | None = Field(description="Why it did not, where it was to.", examples=["it took too long"])


class Value(BaseModel):
    """A value of a column, and how many pictures have it."""

    value: str = Field(examples=["Acme"])
    count: int = Field(examples=[42])


class Column(BaseModel):
    """A column of the metadata."""

    name: str = Field(examples=["articleType"])
    label: str = Field(description="The name as people read it.", examples=["Article type"])
    kind: Literal["number", "date", "boolean", "text"]
    values: list[str] = Field(
        description="Of text the commonest first, else in order; at most 60. None of a text that next to every picture "
        "has a value of its own of, and of numbers and dates only if they are few."
    )
    counts: list[int] = Field(description="How many pictures have each of `values`.")
    distinct: int = Field(description="How many values there are; `GET /v1/values` searches them.")
    min: float | str | None = Field(None, description="The lowest value of a column of numbers or dates.")
    max: float | str | None = Field(None, description="The highest value of a column of numbers or dates.")


class Facts(BaseModel):
    """What is served."""

    pictures: int
    encoder: str
    composer: str | None
    weight: float = Field(description="Of the words in the sum of picture and words, where a search names none.")
    warning: str = Field(description="What to know of the results; empty where there is nothing to say.")
    writable: bool
    columns: list[Column]
    max_bytes: int


class Pair(BaseModel):
    """Two pictures, by id."""

    model_config = ConfigDict(extra="forbid")

    reference: str = Field(max_length=500, examples=["3f1c0a5be2d94c77a810"])
    result: str = Field(max_length=500, examples=["9b7d11aa02c14ce6b3f2"])


class Tag(BaseModel):
    """An attribute and its word in each of two pictures."""

    attribute: str = Field(examples=["colour"])
    before: str = Field(description="The word for the reference.", examples=["blue"])
    after: str = Field(description="The word for the result.", examples=["red"])
    confidence: float = Field(description="The lower of the two words' probabilities.", examples=[0.93])


class Comparison(BaseModel):
    """Which attributes differ between two pictures and which do not, in descending order of confidence."""

    changed: list[Tag]
    kept: list[Tag]
