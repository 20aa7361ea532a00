"""What the service says, as its OpenAPI describes it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from triptych.catalog.conditions import LONGEST


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


class Search(BaseModel):
    """A question, beside the picture that may come with it."""

    model_config = ConfigDict(extra="forbid")

    like: str = Field(
        "", max_length=500, description="Instead of a picture: a reference by its id, or its name in the catalog."
    )
    text: str = Field("", max_length=1000, description="What should differ.", examples=["but in red"])
    weight: float | SkipJsonSchema[None] = Field(
        None,
        ge=0,
        le=1,
        description="Of the words, with a picture and without a composer; else that of `GET /api/catalog`.",
        json_schema_extra=_without_default,
    )
    where: list[Annotated[str, Field(max_length=LONGEST)]] = Field(
        [],
        max_length=20,
        description="Conditions over metadata, all of which must hold; `and`, `or`, `in (…)`, `not in (…)` and "
        "brackets join more in one.",
        examples=[["price<=50", "colour in (red, pink) or brand=Acme"]],
    )
    k: int = Field(24, ge=1, le=200, description="How many results.")
    offset: int = Field(0, ge=0, le=10_000, description="Leave out the first so many.")
    rerank: bool = Field(True, description="Let the chat model judge the first results, where there is one.")


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
        description="What a person should know of how `text` was read: words that are not understood, and whether it "
        "was longer than the encoder reads at once."
    )
    degraded: str | None = Field(description="Why it did not, where it was to.", examples=["it took too long"])


class Column(BaseModel):
    """A column of the metadata."""

    name: str = Field(examples=["colour"])
    kind: Literal["number", "date", "boolean", "text"]
    values: list[str] = Field(description="All there are, if they are few: text commonest first, else in order.")
    least: float | str | None = Field(None, description="Of numbers and dates.")
    most: float | str | None = Field(None, description="Of numbers and dates.")


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
    """What an attribute seems to be in two pictures, and how sure that is (0 to 1)."""

    group: str = Field(examples=["colour"])
    before: str = Field(examples=["blue"])
    after: str = Field(examples=["red"])
    sure: float = Field(examples=[0.93])


class Comparison(BaseModel):
    """What differs between two pictures, and what does not, in tags; the surest first."""

    changed: list[Tag]
    kept: list[Tag]
