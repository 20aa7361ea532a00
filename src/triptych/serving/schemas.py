"""The schemas of requests and answers, for validation and OpenAPI."""

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
    """A result. Scores can be compared only within one search."""

    rank: int = Field(examples=[1])
    score: float = Field(examples=[0.8123])
    folded: list[str] = Field([], description="Ids of near-duplicates that `unique` folded into this result.")


_Name = Annotated[str, Field(max_length=500)]
_Column = Annotated[str, Field(max_length=500)]


class Search(BaseModel):
    """A search, without the picture that may be sent with it."""

    model_config = ConfigDict(extra="forbid")

    like: list[_Name] = Field(
        [],
        max_length=MOST_PICTURES,
        description="References by id or by name in the catalog, instead of a picture or in addition; `id:0.5` has "
        "half the weight.",
        examples=[["3f1c0a5be2d94c77a810"]],
    )
    unlike: list[_Name] = Field(
        [], max_length=MOST_PICTURES, description="Pictures that results should not resemble, as in `like`."
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
        description="The part of the picture to use: x,y,width,height as fractions (0 to 1) or in pixels.",
        examples=["0.1,0.2,0.5,0.6"],
    )
    weight: Annotated[float, Field(ge=0, le=1)] | SkipJsonSchema[None] = Field(
        None,
        description="Weight of the words beside a picture, without a composer; by default that of `GET /v1/catalog`.",
        json_schema_extra=_without_default,
    )
    where: list[Annotated[str, Field(max_length=LONGEST)]] = Field(
        [],
        max_length=20,
        description="Conditions on metadata, all of which must hold. A condition may use `and`, `or`, `in (…)`, "
        "`not in (…)` and brackets.",
        examples=[["price<=50", "colour in (red, pink) or brand=Acme"]],
    )
    boost: list[Annotated[str, Field(max_length=LONGEST)]] = Field(
        [],
        max_length=10,
        description="Raise pictures by metadata: `COLUMN=FACTOR` or `CONDITION=FACTOR`; 1 changes nothing, 2 raises "
        "by one standard deviation of the scores.",
        examples=[["in_stock=1.2"]],
    )
    sort: list[Annotated[str, Field(max_length=200)]] = Field(
        [],
        max_length=5,
        description="Sort the nearest by a column: `price` or `price:desc`.",
        examples=[["price"]],
    )
    among: int = Field(
        200, ge=1, le=2000, description="How many of the nearest `boost` and `sort` reorder; only these are results."
    )
    unique: bool = Field(False, description="Fold near-duplicates into the best one.")
    after: str = Field(
        "",
        max_length=500,
        description="Continue after this result, by id, even if pictures were added or removed since. If it is no "
        "longer a result, `offset` counts.",
    )
    url: str = Field(
        "",
        max_length=2000,
        description="URL of the picture, instead of an upload, on a host that `--fetch-from` allows.",
        examples=["https://shop.example/jacket.jpg"],
    )
    k: int = Field(24, ge=1, le=200, description="How many results.")
    offset: int = Field(0, ge=0, le=10_000, description="How many of the best results to skip.")
    rerank: bool = Field(True, description="Let the chat model re-rank the first results, if there is one.")

    def options(self, k: int) -> SearchOptions:
        """The options of the search, for `k` results."""
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
        """Whether a chat model may re-rank the first results: there is one reference, and no other order."""
        return self.rerank and not (self.offset or self.after or self.sort or len(self.like) > 1)


class SearchOfJson(Search):
    """A search as JSON."""

    picture: str = Field("", description="A picture as base64 or as a data URL.", examples=[""])


class Searches(BaseModel):
    """Several independent searches."""

    model_config = ConfigDict(extra="forbid")

    searches: list[SearchOfJson] = Field(min_length=1, max_length=32)


class Answers(BaseModel):
    """The answers in the order of the searches; a search that failed has a problem instead."""

    answers: "list[Answer | Problem]"


class Changes(BaseModel):
    """New metadata of a picture."""

    model_config = ConfigDict(extra="forbid")

    metadata: dict[_Column, str | int | float | bool | None] = Field(
        max_length=200,
        description="New values by column; null removes a value. Other columns are unchanged.",
        examples=[{"price": 49.9, "in_stock": True}],
    )


class Feedback(BaseModel):
    """A user's feedback on results."""

    model_config = ConfigDict(extra="forbid")

    reference: str = Field(max_length=500, description="The reference of the search, by its id in the catalog.")
    text: str = Field(min_length=1, max_length=1000, description="The words.", examples=["in red"])
    results: list[_Name] = Field(min_length=1, max_length=50, description="The pictures that are judged, by id.")
    verdict: Literal["good", "bad", "chosen"] = Field(
        description="Whether the results are right, wrong, or were chosen by a user."
    )


class Kept(BaseModel):
    """The feedback is stored."""

    kept: int = Field(description="How many results were judged.", examples=[1])


class BlindQuery(BaseModel):
    """A query of the catalog's owner: a picture of the catalog, and words."""

    model_config = ConfigDict(extra="forbid")

    like: str = Field(min_length=1, max_length=500, description="The id of the picture.")
    text: str = Field(min_length=1, max_length=1000, description="What should differ.", examples=["in red"])


class BlindQuestion(BaseModel):
    """The results of two methods, unnamed."""

    question: str = Field(description="The token of the question, for the choice.")
    left: list[Picture]
    right: list[Picture]


class BlindChoice(BaseModel):
    """The side that answers better."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(max_length=100)
    choice: Literal["left", "right", "tie"]


class BlindTally(BaseModel):
    """How often each method was chosen, and whether the difference is significant."""

    composer: int
    sum: int = Field(description="Choices for the weighted sum, which needs no training.")
    ties: int
    share: float = Field(description="The composer's share of the choices without ties.")
    interval: list[float] = Field(description="The 95 % interval of the share.")
    p: float = Field(description="The p-value of a two-sided sign test.")
    decision: Literal["composer", "sum", "undecided"]
    enough: int = Field(description="How many choices show a large difference.")


class NewUpload(BaseModel):
    """The part of an uploaded picture to use."""

    model_config = ConfigDict(extra="forbid")

    box: str = Field("", max_length=100, description="As in a search: x,y,width,height.", examples=["0.1,0.2,0.5,0.6"])


class Upload(BaseModel):
    """An uploaded picture."""

    id: str = Field(description="An id for `like`, valid for an hour.", examples=["u5f2b8c1d0e9f4a3b7c6d5e4f"])


class NewPicture(BaseModel):
    """The metadata of a picture to add."""

    model_config = ConfigDict(extra="forbid")

    metadata: str = Field(
        "{}", max_length=20_000, description="A JSON object from columns of the catalog to values.", examples=["{}"]
    )


class Answer(BaseModel):
    """The results of a search."""

    reference: str | None = Field(examples=["u5f2b…"], description="The reference's id, for `like` in later searches.")
    hits: list[Hit]
    more: bool = Field(description="Whether there are results after these.")
    reranked: bool = Field(description="Whether a chat model has re-ranked the first results; scores are unchanged.")
    not_understood: list[str] = Field(description="Words of `text` that the encoder does not know.", examples=[["rot"]])
    notes: list[str] = Field(
        description="Notes for users on how `text` was read: what it excludes, words that the encoder does not know, "
        "and whether the text is longer than the encoder reads at once."
    )
    degraded: str | None = Field(description="Why re-ranking failed, if it did.", examples=["it took too long"])


class Value(BaseModel):
    """A value of a column, and how many pictures have it."""

    value: str = Field(examples=["Acme"])
    count: int = Field(examples=[42])


class Column(BaseModel):
    """A column of the metadata."""

    name: str = Field(examples=["articleType"])
    label: str = Field(description="A readable name.", examples=["Article type"])
    kind: Literal["number", "date", "boolean", "text"]
    values: list[str] = Field(
        description="At most 60 values: of text the most frequent first, else in ascending order. Empty for text that "
        "differs for nearly every picture, and for more than 60 numbers or dates."
    )
    counts: list[int] = Field(description="How many pictures have each of `values`.")
    distinct: int = Field(description="How many values there are; `GET /v1/values` searches them.")
    min: float | str | None = Field(None, description="The lowest value of a column of numbers or dates.")
    max: float | str | None = Field(None, description="The highest value of a column of numbers or dates.")


class Facts(BaseModel):
    """Facts about the catalog."""

    pictures: int
    encoder: str
    composer: str | None
    weight: float = Field(description="The default weight of the words in the sum of picture and words.")
    warning: str = Field(description="A warning about the results; empty if there is none.")
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
